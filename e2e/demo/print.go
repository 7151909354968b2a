package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// kubectl runs kubectl at the root of the module. Its error is what kubectl says.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, harness.Program("kubectl"), append([]string{"--kubeconfig=" + d.cluster.Kubeconfig}, args...)...)
	command.Dir = d.root
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		if said := strings.TrimSpace(problems.String()); said != "" {
			return output.String(), errors.New(said)
		}
		return output.String(), fmt.Errorf("running kubectl %s: %w", strings.Join(args, " "), err)
	}
	return output.String(), nil
}

const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

func (d *demo) print(text string) { fmt.Fprint(d.out, text) }

func (d *demo) styled(style, text string) string {
	if !d.colour || style == "" {
		return text
	}
	return style + text + plain
}

func (d *demo) heading(text string) { d.print("\n" + d.styled(bold, "== "+text) + "\n") }

// command shows what is typed next.
func (d *demo) command(namespace, file string) {
	if namespace != "" {
		namespace = "-n " + namespace + " "
	}
	d.heading("kubectl apply " + namespace + "-f " + example(file))
}

func (d *demo) refusal(text string) { d.print(d.styled(red, text) + "\n") }

func (d *demo) changes(text string) {
	for line := range strings.Lines(text) {
		style := ""
		switch line[0] {
		case '+':
			style = green
		case '-':
			style = red
		}
		d.print("  " + d.styled(style, strings.TrimSuffix(line, "\n")) + "\n")
	}
}

// diff compares two objects as kubectl prints them in JSON, by what of them a user
// writes.
func diff(before, after string) (string, error) {
	a, err := essence(before)
	if err != nil {
		return "", err
	}
	b, err := essence(after)
	if err != nil {
		return "", err
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(a), B: difflib.SplitLines(b), FromFile: "as applied", ToFile: "as stored", Context: 3,
	})
}

// serviceAccountVolume is the name that the API server makes up for the volume
// with a pod's token.
var serviceAccountVolume = regexp.MustCompile(`kube-api-access-\w+`)

// essence is an object in YAML without what servers and clients add to every one.
func essence(text string) (string, error) {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		return "", fmt.Errorf("reading what kubectl printed: %w", err)
	}
	delete(object, "status")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		written := map[string]any{"name": metadata["name"], "labels": metadata["labels"]}
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			maps.DeleteFunc(annotations, func(key string, _ any) bool {
				return key == "kubectl.kubernetes.io/last-applied-configuration" || key == "deployment.kubernetes.io/revision"
			})
			if len(annotations) > 0 {
				written["annotations"] = annotations
			}
		}
		object["metadata"] = written
	}
	data, err := yaml.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("writing an object: %w", err)
	}
	return serviceAccountVolume.ReplaceAllString(string(data), "kube-api-access"), nil
}

// adds tells whether a diff has a text on a line that is new.
func adds(changes, text string) bool {
	for line := range strings.Lines(changes) {
		if strings.HasPrefix(line, "+") && strings.Contains(line, text) {
			return true
		}
	}
	return false
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const cliDoc = "../../docs/cli.md"

// TestCLIDoc requires that docs/cli.md is what the commands say of themselves;
// with -update it is written anew.
func TestCLIDoc(t *testing.T) {
	root := newRoot(streams{strings.NewReader(""), io.Discard, io.Discard})
	var b bytes.Buffer
	b.WriteString("# What can the command line do?\n\n")
	b.WriteString("This page is made from what each command says with `--help` (`go test ./cmd/portcullis -run CLIDoc -update`).\n")
	b.WriteString("As `kubectl-portcullis` on the PATH the same binary is `kubectl portcullis`. What the reports look like stands in\n")
	b.WriteString("[report.md](report.md). `portcullis completion bash`, zsh, fish or powershell writes a script that completes commands and flags.\n")
	writeCommand(&b, root)
	got := b.Bytes()
	if *update {
		if err := os.WriteFile(cliDoc, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(cliDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Error("docs/cli.md is not what the commands say; run go test ./cmd/portcullis -run CLIDoc -update")
	}
}

func writeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	if cmd.Name() == "help" || cmd.Hidden {
		return
	}
	fmt.Fprintf(b, "\n## `%s`\n\n", cmd.CommandPath())
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s\n", text)
	if cmd.Runnable() {
		fmt.Fprintf(b, "\n    %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```console\n%s\n```\n", regexp.MustCompile("(?m)^  ").ReplaceAllString(cmd.Example, "$ "))
	}
	if cmd.LocalFlags().HasAvailableFlags() {
		b.WriteString("\n| flag | what it says |\n|---|---|\n")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { writeFlag(b, f) })
	}
	for _, sub := range cmd.Commands() {
		writeCommand(b, sub)
	}
}

func writeFlag(b *bytes.Buffer, f *pflag.Flag) {
	if f.Name == "help" || f.Hidden {
		return
	}
	kind, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if kind != "" {
		name += " " + strings.ToUpper(kind)
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
		usage += fmt.Sprintf(" (default: `%s`)", strings.Trim(f.DefValue, "[]"))
	}
	fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
}

// TestHooks requires that the hook of pre-commit and the action of GitHub call
// commands and flags that exist.
func TestHooks(t *testing.T) {
	read := func(path string, into any) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(data, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	var hooks []struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Entry       string   `json:"entry"`
		Args        []string `json:"args"`
		Language    string   `json:"language"`
		Types       []string `json:"types_or"`
		PassFiles   *bool    `json:"pass_filenames"`
	}
	read("../../.pre-commit-hooks.yaml", &hooks)
	var lines []string
	for _, h := range hooks {
		lines = append(lines, h.Entry)
	}
	var action struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Branding    map[string]any `json:"branding"`
		Inputs      map[string]struct {
			Description string `json:"description"`
			Required    bool   `json:"required"`
			Default     string `json:"default"`
		} `json:"inputs"`
		Runs struct {
			Using string           `json:"using"`
			Steps []map[string]any `json:"steps"`
		} `json:"runs"`
	}
	read("../../action.yml", &action)
	uses := regexp.MustCompile(`inputs\.([a-z-]+)`)
	for _, step := range action.Runs.Steps {
		script, _ := step["run"].(string)
		lines = append(lines, strings.Split(script, "\n")...)
		if strings.Contains(script, "${{") {
			t.Errorf("a step of action.yml has ${{ in its script, where an input would be run as a command:\n%s", script)
		}
		text, err := yaml.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range uses.FindAllSubmatch(text, -1) {
			if _, ok := action.Inputs[string(use[1])]; !ok {
				t.Errorf("action.yml uses input %s, which it does not have", use[1])
			}
		}
	}
	root := newRoot(streams{strings.NewReader(""), io.Discard, io.Discard})
	calls := 0
	for _, line := range lines {
		_, call, ok := strings.Cut(line, "portcullis ")
		if !ok {
			continue
		}
		calls++
		cmd, _, err := root.Find(strings.Fields(call))
		if err != nil || cmd == root {
			t.Errorf("%q calls no command: %v", line, err)
			continue
		}
		for _, flag := range regexp.MustCompile(` --([a-z-]+)`).FindAllStringSubmatch(call, -1) {
			if cmd.Flags().Lookup(flag[1]) == nil {
				t.Errorf("%q names flag --%s, which %s does not have", line, flag[1], cmd.Name())
			}
		}
	}
	if calls < 2 {
		t.Errorf("got %d calls, want those of the hook and the action", calls)
	}
}

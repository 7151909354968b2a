package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestDocs reads every YAML example of the README and of docs/ as the product
// does, follows every link to a file, and knows every flag that is named.
func TestDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("found documents %v (%v), want some", files, err)
	}
	examples := map[string]int{}
	for _, file := range append(files, "../../README.md", "../../CONTRIBUTING.md") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
			examples[checkExample(t, file, block[1])]++
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, link[1], err)
			}
		}
		root := newRoot(streams{strings.NewReader(""), io.Discard, io.Discard})
		for _, line := range regexp.MustCompile("portcullis ([a-z]+[^`\n|>]*)").FindAllStringSubmatch(text, -1) {
			command, _, err := root.Find(strings.Fields(line[1]))
			if err != nil || command == root {
				continue // a sentence
			}
			for _, flag := range regexp.MustCompile(` --([a-z-]+)`).FindAllStringSubmatch(line[1], -1) {
				if command.Flags().Lookup(flag[1]) == nil && flag[1] != "help" {
					t.Errorf("%s names flag --%s, which %s does not have", file, flag[1], command.Name())
				}
			}
		}
	}
	for _, kind := range []string{"PodPolicy", "PolicyException", "RegistryConfig"} {
		if examples[kind] == 0 {
			t.Errorf("got no example of a %s, want one", kind)
		}
	}
}

// checkExample loads one example and returns its kind.
func checkExample(t *testing.T, file, example string) string {
	t.Helper()
	var object struct {
		Kind string         `json:"kind"`
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(example), &object); err != nil {
		t.Errorf("%s: %v in\n%s", file, err, example)
	}
	var err error
	switch {
	case object.Kind == "PodPolicy":
		_, err = policies.Load([]byte(example), file)
	case object.Kind == "PolicyException":
		err = checkException(t, example)
	case object.Kind == "RegistryConfig":
		_, err = image.LoadConfig([]byte(example), file)
	case object.Kind == "" && object.Spec != nil: // an excerpt of a policy
		example = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: x}\n" + strings.TrimSpace(example) + "\n"
		_, err = policies.Load([]byte(example), file)
	}
	if err != nil {
		t.Errorf("%s: %v in\n%s", file, err, example)
	}
	return object.Kind
}

// checkException holds an exception against the policy of examples/exception.yaml.
// The time is left out: an example does not become wrong with it.
func checkException(t *testing.T, example string) error {
	t.Helper()
	data, err := os.ReadFile("../../examples/exception.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy, _, _ := strings.Cut(string(data), "\n---\n")
	file := filepath.Join(t.TempDir(), "example.yaml")
	if err := os.WriteFile(file, []byte(policy+"\n---\n"+example), 0o600); err != nil {
		t.Fatal(err)
	}
	_, exceptions, err := policies.LoadAll(policies.ExceptionTerms{}, file)
	if err == nil && len(exceptions) != 1 {
		t.Errorf("got %d exceptions, want 1", len(exceptions))
	}
	return err
}

// TestExceptionExample reads the example as the product does.
func TestExceptionExample(t *testing.T) {
	list, exceptions, err := policies.LoadAll(policies.ExceptionTerms{}, "../../examples/exception.yaml")
	if err != nil || len(list) != 1 || len(exceptions) != 1 {
		t.Errorf("got %d policies, %d exceptions and error %v, want one of each", len(list), len(exceptions), err)
	}
}

// TestReadmeFix requires that the repair which the README shows is the one that the
// command makes of the example.
func TestReadmeFix(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)`portcullis (fix --diff ([^ `]+))`:\n\n```diff\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("got no diff behind a command in the README, want one")
	}
	t.Chdir("../..")
	got := execute(t, "", strings.Fields(string(block[1]))...)
	if diff := cmp.Diff(string(block[3]), got.stdout); diff != "" {
		t.Errorf("README.md against portcullis %s (-README +command):\n%s", block[1], diff)
	}
}

// TestReadmeCI requires that what the README says to write for pre-commit and GitHub
// names a hook and inputs that there are.
func TestReadmeCI(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme, hooks, action := read("../../README.md"), read("../../.pre-commit-hooks.yaml"), read("../../action.yml")
	found := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		var example struct {
			Repos []struct{ Hooks []struct{ ID string } }
			Steps []struct {
				Uses string
				With map[string]string
			}
		}
		if err := yaml.Unmarshal([]byte(block[1]), &example); err != nil {
			t.Fatal(err)
		}
		for _, repo := range example.Repos {
			for _, hook := range repo.Hooks {
				found++
				if !strings.Contains(hooks, "- id: "+hook.ID+"\n") {
					t.Errorf("the README names hook %s, which .pre-commit-hooks.yaml does not have", hook.ID)
				}
			}
		}
		for _, step := range example.Steps {
			for input := range step.With {
				found++
				if !strings.Contains(action, "\n  "+input+":\n") {
					t.Errorf("the README names input %s, which action.yml does not have", input)
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("got %d hooks and inputs in the README, want those of both", found)
	}
}

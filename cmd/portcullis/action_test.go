package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestActionChecksAllPaths runs what the GitHub Action runs, with a program that
// prints its arguments in the place of portcullis: paths on lines of their own all
// count.
func TestActionChecksAllPaths(t *testing.T) {
	data, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Runs struct{ Steps []struct{ Name, Run string } }
	}
	if err := yaml.Unmarshal(data, &action); err != nil {
		t.Fatal(err)
	}
	steps := action.Runs.Steps
	temp := t.TempDir()
	if err := os.WriteFile(filepath.Join(temp, "portcullis"), []byte("#!/bin/sh\nprintf '%s\\n' \"$*\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for paths, want := range map[string]string{
		".":                       "check --preset restricted --output github -- .\n",
		"deploy/a deploy/b":       "check --preset restricted --output github -- deploy/a deploy/b\n",
		"deploy/a\ndeploy/b\n\nc": "check --preset restricted --output github -- deploy/a deploy/b c\n",
	} {
		command := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", steps[len(steps)-1].Run)
		command.Env = append(os.Environ(), "RUNNER_TEMP="+temp, "PATHS="+paths, "POLICY=", "PRESET=restricted", "OUTPUT=github", "FILE=")
		got, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", paths, err, got)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", paths, diff)
		}
	}
}

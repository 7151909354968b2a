package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("kind: PodPolicy\napiVersion: portcullis.dev/v1alpha1\nmetadata: {name: x}\nspec: {mode: Strict, validate: {podSecurity: {level: strict}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("kind: Config\napiVersion: v1\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, args string
		code       int
		stdout     string // part of it
		stderr     []string
	}{
		{name: "version", args: "version", stdout: "portcullis dev (go"},
		{name: "help", args: "--help", stdout: "Answer the API server's admission reviews"},
		{name: "completion", args: "completion bash", stdout: "# bash completion V2 for portcullis"},
		{name: "no command", args: "", code: 2, stderr: []string{"portcullis: a command is missing; see portcullis --help"}},
		{name: "unknown command", args: "sreve", code: 2, stderr: []string{`unknown command "sreve"`}},
		{name: "unknown flag", args: "serve --prot 1", code: 2, stderr: []string{"unknown flag: --prot; see portcullis serve --help"}},
		{
			name: "everything that is wrong at once", code: 2,
			args: "serve --kubeconfig " + kubeconfig + " --policy " + broken + " --preset best --log-level loud --log-format xml --self-signed --secret here --address :x --metrics-address 1:99999 --shutdown-delay -1s --audit-interval 1ms --audit-findings 0 --lease here --registries " + filepath.Join(t.TempDir(), "none") + " --lock " + broken,
			stderr: []string{
				`reading --log-level "loud": want debug, info, warn or error`,
				`reading --log-format "xml": want text or json`,
				`reading --secret "here": want namespace/name`,
				`"strict" is not a level; use privileged, baseline or restricted`,
				`"Strict" is not a mode; use Enforce, Warn or Audit`,
				`reading --preset: "best" is not a preset; use audit, baseline or restricted, or none`,
				"reading --registries: open ",
				`broken.yaml:1: kind: got "PodPolicy", want ImageLock`,
				`reading --address ":x": want a port from 1 to 65535`,
				`reading --metrics-address "1:99999": want a port from 0 to 65535`,
				"reading --shutdown-delay -1s: want no negative duration",
				"reading --audit-interval 1ms: want at least 1s, or 0",
				"reading --audit-findings 0: want 1 to 1000",
				`reading --lease "here": want namespace/name`,
			},
		},
		{name: "an empty policy", args: "serve --policy=", code: 2, stderr: []string{"reading --policy: it is empty"}},
		{
			name: "no API server", args: "serve --metrics-address 0 --health-address 0 --kubeconfig " + kubeconfig, code: 1,
			stderr: []string{"portcullis: connecting to the API server: ", "connection refused"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), strings.Fields(test.args), streams{strings.NewReader(""), &stdout, &stderr})
			if code != test.code || !strings.Contains(stdout.String(), test.stdout) {
				t.Errorf("got code %d, stdout %q, want %d, a text with %q", code, &stdout, test.code, test.stdout)
			}
			for _, want := range test.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("got stderr %q, want a text with %q", &stderr, want)
				}
			}
		})
	}
}

package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPolicyTests(t *testing.T) {
	got := execute(t, "", "test", "testdata/policytest")
	want := "ok    restricted-preset: the host's network is refused\n" +
		"ok    restricted-preset: kube-system is left alone\n" +
		"ok    restricted-preset: an image that is not listed was not asked about\n" +
		"3 held, 0 failed, 0 could not be run\n"
	if got.code != 0 || got.stdout != want {
		t.Errorf("got %d, %s%s, want 0, %s", got.code, got.stdout, got.stderr, want)
	}
}

func TestPolicyTestFailures(t *testing.T) {
	pod, err := os.ReadFile("testdata/policytest/pod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: t}\n"
	for _, test := range []struct {
		name, text string
		code       int
		want       string
	}{
		{
			"another result", "preset: baseline\ncases: [{name: a, object: pod.yaml, expect: {result: pass}}]\n", 1,
			"got result fail, want pass\n      got fail of podSecurity/hostNamespaces (baseline) at spec.hostNetwork",
		},
		{
			"a finding that is not there", "preset: baseline\ncases: [{name: a, object: pod.yaml, expect: {result: fail, findings: [{check: privileged}]}}]\n", 1,
			"want a finding {\"check\":\"privileged\"}, and there is none\n      not expected: fail of podSecurity/hostNamespaces (baseline) at spec.hostNetwork",
		},
		{"no finding expected", "preset: baseline\ncases: [{name: a, object: pod.yaml, expect: {result: fail, findings: []}}]\n", 1, "not expected: "},
		{"unknown field", "preset: baseline\ncase: []\n", 2, "test.yaml: document 1, line 5, column 1: case: unknown field; did you mean cases?"},
		{
			"a spec", "spec: {preset: baseline, cases: []}\n", 2,
			"test.yaml: document 1, line 4, column 1: spec: unknown field; a PolicyTest has none: write policies or preset, and cases, beside metadata",
		},
		{"unknown field of a case", "preset: baseline\ncases: [{name: a, object: pod.yaml, expects: {result: pass}}]\n", 2, "cases[0].expects: unknown field; did you mean expect?"},
		{"nothing tested", "preset: baseline\n", 2, "cases is empty, so that nothing is tested"},
		{"no policy", "cases: [{name: a, object: pod.yaml, expect: {result: pass}}]\n", 2, "give either policies, as a list of files, or preset"},
		{"policies and a preset", "preset: baseline\npolicies: [p.yaml]\ncases: [{name: a, object: pod.yaml, expect: {result: pass}}]\n", 2, `preset: "baseline" is given beside policies; leave one of the two out`},
		{"no workload", "preset: baseline\ncases: [{name: a, object: test.yaml, expect: {result: pass}}]\n", 2, `reading the object "test.yaml": got 0 workloads, want one`},
		{"missing policy", "policies: [none.yaml]\ncases: [{name: a, object: pod.yaml, expect: {result: pass}}]\n", 2, "none.yaml: cannot be read"},
		{"missing object", "preset: baseline\ncases: [{name: a, object: none.yaml, expect: {result: pass}}]\n", 2, "none.yaml: cannot be read"},
		{"no result", "preset: baseline\ncases: [{name: a, object: pod.yaml}]\n", 2, `cases[0].expect.result: "" is no result; use fail, skip, warn, exempt, pass, unmatched`},
		{"a name twice", "preset: baseline\ncases: [{name: a, object: pod.yaml, expect: {result: fail}}, {name: a, object: pod.yaml, expect: {result: fail}}]\n", 2, `cases[1].name: "a" is the name of another case too`},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, text := range map[string]string{"pod.yaml": string(pod), "test.yaml": head + test.text} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := execute(t, "", "test", folder)
			if got.code != test.code || !strings.Contains(got.stdout, test.want) {
				t.Errorf("got %d, %s%s, want %d, a text with %s", got.code, got.stdout, got.stderr, test.code, test.want)
			}
			junit := execute(t, "", "test", "-o", "junit", folder)
			var suites junitSuites
			if err := xml.Unmarshal([]byte(junit.stdout), &suites); err != nil {
				t.Fatal(err)
			}
			if junit.code != test.code || suites.Tests != 1 || suites.Failures+suites.Errors != 1 {
				t.Errorf("got %d, %+v, want %d, one case that does not hold", junit.code, suites, test.code)
			}
		})
	}
}

// TestPolicyTestExample runs the example that docs/policy-tests.md shows.
func TestPolicyTestExample(t *testing.T) {
	example, err := os.ReadFile("../../examples/policy-test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/policy-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(docs), "```yaml\n"+string(example)+"```\n") {
		t.Error("docs/policy-tests.md does not show examples/policy-test.yaml as it is")
	}
	got := execute(t, "", "test", "../../examples/policy-test.yaml")
	if want := "4 held, 0 failed, 0 could not be run\n"; got.code != 0 || !strings.HasSuffix(got.stdout, want) {
		t.Errorf("got %d, %s%s, want 0, %s", got.code, got.stdout, got.stderr, want)
	}
}

func TestPolicyTestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"test":                      "nothing to test",
		"test -o xml x":             `reading --output "xml": want text or junit`,
		"test testdata/check/app":   "ERROR ",
		"test ../../manifests/crds": "there is no document of apiVersion portcullis.dev/v1alpha1, kind PolicyTest",
	} {
		if got := execute(t, "", strings.Fields(args)...); got.code != 2 || !strings.Contains(got.stderr+got.stdout, want) {
			t.Errorf("%s: got %+v, want exit code 2, a text with %q", args, got, want)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// execution is the outcome of one command line.
type execution struct {
	code           int
	stdout, stderr string
}

func execute(t testing.TB, stdin string, args ...string) execution {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, streams{strings.NewReader(stdin), &stdout, &stderr})
	return execution{code, stdout.String(), stderr.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestCheckText(t *testing.T) {
	got := execute(t, "", "check", "--preset", "restricted", "-v", "testdata/check/app")
	golden(t, "check/app.txt", got.stdout)
	golden(t, "check/app.stderr.txt", got.stderr)
	if got.code != 2 {
		t.Errorf("got exit code %d, want 2: one file cannot be judged", got.code)
	}
}

const (
	goodPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
		"containers":[{"name":"app","image":"app:1","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`
	badPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"hostNetwork":true,"containers":[{"name":"app","image":"app:1"}]}}`
)

func TestCheckExitCodes(t *testing.T) {
	folder := t.TempDir()
	save := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := func(mode, spec string) string {
		return save(mode+".yaml", "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mode: "+mode+", "+spec+"}\n")
	}
	warn := policy("Warn", "validate: {podSecurity: {level: baseline}}")
	audit := policy("Audit", "validate: {podSecurity: {level: baseline}}")
	selects := policy("Enforce", "match: {namespaceSelector: {matchLabels: {tier: gold}}}, validate: {podSecurity: {level: baseline}}")
	namespaces := save("namespaces.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {tier: gold}}\n")
	bundle := save("bundle.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {tier: gold}}\n---\n"+
		"apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: q}\nspec: {match: {namespaceSelector: {matchLabels: {tier: gold}}}, validate: {podSecurity: {level: baseline}}}\n")
	brokenBundle := save("broken-bundle.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n"+
		"apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: q}\nspec:\n  validate: {podSecurity: {level: strict}}\n")
	closed := save("closed.yaml", badPod)
	_ = os.Chmod(closed, 0)
	for _, test := range []struct {
		name, args, stdin string
		code              int
		stdout, stderr    string // parts
	}{
		{name: "nothing enforced is violated", args: "check -", stdin: goodPod, stdout: "1 object in 1 file", stderr: "no --policy, --preset or --bundle is given: judging by the preset restricted"},
		{name: "violated", args: "check -", stdin: badPod, code: 1, stdout: "podSecurity/hostNamespaces (restricted)"},
		{name: "violated, and asked for no failure", args: "check --fail-on none -", stdin: badPod},
		{name: "violated in Warn", args: "check --policy " + warn + " -", stdin: badPod, stdout: "WARN"},
		{name: "violated in Audit", args: "check --policy " + audit + " -", stdin: badPod, stdout: "WARN"},
		{name: "violated in Warn, and asked to fail for it", args: "check --fail-on warn --policy " + warn + " -", stdin: badPod, code: 1},
		{name: "unreadable", args: "check -", stdin: "kind: [", code: 2, stdout: "did not find expected node content"},
		{name: "unreadable wins over violated", args: "check -", stdin: badPod + "\n---\nkind: [", code: 2, stdout: "hostNamespaces"},
		{name: "unreadable is not what none asks for", args: "check --fail-on none -", stdin: "kind: [", code: 2},
		{name: "no such file", args: "check " + folder + "/none.yaml", code: 2, stdout: "cannot be read: no such file or directory"},
		{name: "nothing to read", args: "check", code: 2, stderr: "nothing to read: name files or folders, - for standard input, --kustomize or --helm"},
		{name: "no name of a namespace", args: "check --namespace Bad_NS -", stdin: goodPod, code: 2, stderr: `reading --namespace "Bad_NS": it is no name of a namespace`},
		{name: "unknown output", args: "check -o yaml -", code: 2, stderr: `output format "yaml" is not known`},
		{name: "unknown colour", args: "check --color blue -", code: 2, stderr: `reading --color "blue": want auto, always or never`},
		{name: "unknown failure", args: "check --fail-on all -", code: 2, stderr: `reading --fail-on "all": want fail, warn or none`},
		{name: "unknown preset", args: "check --preset best -", code: 2, stderr: `"best" is not a preset`},
		{name: "two sources of policies", args: "check --preset baseline --policy " + warn + " -", code: 2, stderr: "--policy and --preset are given: give one of them"},
		{name: "missing policy", args: "check --policy none.yaml -", code: 2, stderr: "none.yaml: cannot be read: no such file or directory"},
		{name: "values without a chart", args: "check --values x.yaml -", code: 2, stderr: `reading --values "x.yaml": they are for --helm, which is missing`},
		{name: "registries offline", args: "check --registries x.yaml -", code: 2, stderr: `reading --registries "x.yaml": it is for --online, which is missing`},
		{name: "baseline to write without a name", args: "check --write-baseline -", code: 2, stderr: "reading --write-baseline: name the file with --baseline"},
		{name: "missing baseline", args: "check --baseline none.json -", code: 2, stderr: "make it with --write-baseline"},
		{name: "labels not known", args: "check --policy " + selects + " -", stdin: badPod, stderr: `policy "p" selects namespaces by label, and the labels of "default" are not known`},
		{name: "labels in a file", args: "check --namespace-labels " + namespaces + " --policy " + selects + " -", stdin: badPod, code: 1},
		{name: "labels in the input", args: "check --policy " + selects + " " + namespaces + " -", stdin: badPod, code: 1},
		{name: "labels of another namespace", args: "check --namespace web --namespace-labels " + namespaces + " --policy " + selects + " -", stdin: badPod, stderr: `labels of "web"`},
		{name: "labels without a namespace", args: "check --namespace-labels " + warn + " -", stdin: badPod, code: 2, stderr: "has no object of apiVersion v1, kind Namespace"},
		{name: "bundle", args: "check --bundle " + bundle + " -", stdin: badPod, code: 1, stdout: "(q)"},
		{name: "broken bundle", args: "check --bundle " + brokenBundle + " -", code: 2, stderr: `broken-bundle.yaml: document 2, line 9: spec.validate.podSecurity.level: "strict" is not a level`},
		{name: "no bundle", args: "check --bundle " + namespaces + " -", code: 2, stderr: "has no PodPolicy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t, test.stdin, strings.Fields(test.args)...)
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("got %d\n%s\n%s\nwant %d, a stdout with %q, a stderr with %q", got.code, got.stdout, got.stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

func TestBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known.json")
	if got := execute(t, badPod, "check", "--preset", "restricted", "--baseline", file, "--write-baseline", "-"); got.code != 0 ||
		got.stderr != "portcullis: wrote 5 findings into "+strconv.Quote(file)+": with --baseline they are known and refuse nothing; the report shows them without it\n" {
		t.Fatalf("writing: got %+v, want exit code 0", got)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "check/baseline.json", string(data))
	check := func(stdin string, args ...string) (execution, report.Summary) {
		t.Helper()
		got := execute(t, stdin, append([]string{"check", "--preset", "restricted", "--baseline", file, "-o", "json", "-"}, args...)...)
		var r report.Report
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			t.Fatal(err)
		}
		return got, r.Summary
	}
	if got, summary := check("\n\n" + badPod); got.code != 0 || summary.Fail != 0 || summary.Warn != 5 {
		t.Errorf("the same on other lines: got exit code %d, %+v, want 0 and 5 warnings", got.code, summary)
	}
	if got, _ := check(badPod, "--fail-on", "warn"); got.code != 0 {
		t.Errorf("what is known with --fail-on warn: got exit code %d, want 0", got.code)
	}
	twice := strings.Replace(badPod, `"hostNetwork":true,`, `"hostNetwork":true,"hostPID":true,`, 1)
	if got, summary := check(twice); got.code != 1 || summary.Fail != 1 {
		t.Errorf("one finding more: got exit code %d, %+v, want 1 and 1 failure", got.code, summary)
	}
	if got, summary := check(badPod + badPod); got.code != 1 || summary.Fail != 5 {
		t.Errorf("the object twice: got exit code %d, %+v, want 1 and 5 failures", got.code, summary)
	}
}

func TestCheckEmptyArgument(t *testing.T) {
	got := execute(t, "", "check", "--preset", "baseline", "x.yaml", "")
	if want := "portcullis: argument 2 is empty: name a file or folder, or - for standard input\n"; got.code != 2 || got.stderr != want {
		t.Errorf("got %d, %s, want 2, %s", got.code, got.stderr, want)
	}
}

// TestUnansweredRepairs requires skip for what a mutator may repair that could
// not ask a registry, and fail where none does.
func TestUnansweredRepairs(t *testing.T) {
	policy := func(mutate string) string {
		path := filepath.Join(t.TempDir(), "p.yaml")
		text := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {" + mutate + "validate: {digests: {}, rootUser: {}}}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for mutate, want := range map[string]string{"": "fail", "mutate: {digests: {}}, ": "skip"} {
		got := execute(t, goodPod, "check", "--policy", policy(mutate), "-o", "json", "-")
		var r report.Report
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			t.Fatal(err)
		}
		outcomes := map[string]string{}
		for _, result := range r.Results {
			if result.Rule != "digests" || result.Check != "" {
				outcomes[result.Rule+"/"+result.Check] = string(result.Result)
			}
		}
		if diff := cmp.Diff(map[string]string{"digests/required": want, "rootUser/unknown": "skip"}, outcomes); diff != "" {
			t.Errorf("with %q (-want +got):\n%s", mutate, diff)
		}
	}
}

// TestUnansweredRepairsOfWatchers requires fail where the mutator that could not ask
// a registry would change nothing whatever the answer.
func TestUnansweredRepairsOfWatchers(t *testing.T) {
	const (
		probes    = "mutate: {probes: {mode: %s}}, validate: {probes: {require: [readiness]}}"
		hardening = "mutate: {hardening: {mode: %s}}, validate: {podSecurity: {level: restricted}}"
	)
	for _, test := range []struct{ spec, mode, check, want string }{
		{probes, "Enforce", "probes/missing", "skip"},
		{probes, "Warn", "probes/missing", "fail"},
		{probes, "Audit", "probes/missing", "fail"},
		{hardening, "Enforce", "podSecurity/runAsNonRoot", "skip"},
		{hardening, "Audit", "podSecurity/runAsNonRoot", "fail"},
	} {
		t.Run(test.check+" "+test.mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "p.yaml")
			text := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {" + fmt.Sprintf(test.spec, test.mode) + "}\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			// A Python program needs a registry to be known as one, and to run as somebody.
			got := execute(t, "", "check", "--policy", path, "-o", "json", "../../examples/python-web-app.yaml")
			var r report.Report
			if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
				t.Fatal(err)
			}
			found := ""
			for _, result := range r.Results {
				if result.Rule+"/"+result.Check == test.check {
					found += string(result.Result)
				}
			}
			if found != test.want || test.want == "fail" && got.code != 1 {
				t.Errorf("got %q, exit code %d, want %q in\n%s", found, got.code, test.want, got.stdout)
			}
		})
	}
}

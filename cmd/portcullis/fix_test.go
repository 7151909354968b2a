package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/report"
)

// by are the flags by which the corpus is judged.
var by = []string{"--policy", "testdata/fix/policy.yaml", "--lock", "testdata/fix/portcullis.lock"}

// fixedLine is what fix says of something that it mended.
var fixedLine = regexp.MustCompile(`(?m)^.*: fixed ([^ ]+): (?:container "[^"]*": )?([^ ]+) is .*$`)

// TestFixCorpus repairs manifests as people write them. Each has to come out as its
// golden file, to stay so in a second run, to have none of the findings that are said
// to be fixed, and to be what git makes of it by the diff.
func TestFixCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/fix/corpus/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v, want some", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			first := execute(t, "", append([]string{"fix", "--override", file}, by...)...)
			golden(t, filepath.Join("fix/golden", filepath.Base(file)), first.stdout)
			golden(t, filepath.Join("fix/golden", filepath.Base(file)+".stderr.txt"), first.stderr)
			copied := filepath.Join(t.TempDir(), filepath.Base(file))
			if err := os.WriteFile(copied, []byte(first.stdout), 0o600); err != nil {
				t.Fatal(err)
			}
			second := execute(t, "", append([]string{"fix", "--override", copied}, by...)...)
			if diff := cmp.Diff(first.stdout, second.stdout); diff != "" {
				t.Errorf("the second run changes something (-first +second):\n%s", diff)
			}
			if said := fixedLine.FindString(second.stderr); said != "" || second.code != first.code {
				t.Errorf("the second run ends with %d and says %q, want %d and nothing fixed", second.code, said, first.code)
			}
			holds(t, first.stderr, copied)
			applies(t, file, first.stdout)
		})
	}
}

// holds requires that a check of the repaired file finds nothing that was fixed.
func holds(t *testing.T, said, repaired string) {
	t.Helper()
	got := execute(t, "", append([]string{"check", "-o", "json", repaired}, by...)...)
	var r report.Report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, result := range r.Results {
		if result.Result == report.Fail || result.Result == report.Warn {
			found[result.Rule+"/"+result.Check+" "+result.Field] = true
		}
	}
	// Objects of one file have fields of one name; a finding that is left in one of
	// them may have been fixed in another.
	left := map[string]bool{}
	for _, line := range strings.Split(said, "\n") {
		if _, rest, ok := strings.Cut(line, ": not fixed "); ok {
			words := strings.Fields(rest)
			for _, word := range words {
				left[strings.TrimSuffix(words[0], ":")+" "+strings.TrimSuffix(word, ":")] = true
			}
		}
	}
	for _, line := range fixedLine.FindAllStringSubmatch(said, -1) {
		if key := line[1] + " " + line[2]; found[key] && !left[key] {
			t.Errorf("check finds %s, which fix says is fixed", key)
		}
	}
}

// applies requires that git makes the repaired file of the old one by the diff.
func applies(t *testing.T, file, want string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	diff := execute(t, "", append([]string{"fix", "--diff", "--override", file}, by...)...).stdout
	folder := t.TempDir()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(folder, file)
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff != "" {
		cmd := exec.Command(git, "apply", "--whitespace=nowarn", "-")
		cmd.Dir, cmd.Stdin = folder, strings.NewReader(diff)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git apply: %v\n%s\n%s", err, output, diff)
		}
	}
	got, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("what git makes of the diff (-want +got):\n%s", d)
	}
}

// TestFixCases repairs every case that a rule is tested with: fixes hold, and a second
// run has nothing to fix.
func TestFixCases(t *testing.T) {
	for _, preset := range []string{"baseline", "restricted"} {
		first := execute(t, "", "fix", "--override", "--preset", preset, "../../validate/testdata", "../../examples")
		if strings.Contains(first.stderr, "left as it was") || !fixedLine.MatchString(first.stderr) {
			t.Errorf("%s: got %s, want fixes, and that all hold", preset, first.stderr)
		}
		second := execute(t, first.stdout, "fix", "--override", "--preset", preset, "-")
		if said := fixedLine.FindString(second.stderr); said != "" || second.stdout != first.stdout {
			t.Errorf("%s: the second run says %q, and has the same text: %t, want nothing and true", preset, said, second.stdout == first.stdout)
		}
	}
}

// TestFixStream joins files so that a reader of YAML finds each of their documents.
func TestFixStream(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"1.yaml":      "\xef\xbb\xbf" + strings.TrimSuffix(quietPod("a"), "\n"),
		"2.yaml":      "\xef\xbb\xbf" + quietPod("b"),
		"3.yaml":      "--- # c\n" + quietPod("c"),
		"4.json":      `{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"}}`,
		"5.json":      `{"apiVersion":"v1","kind":"Service","metadata":{"name":"e"}}`,
		"values.yaml": "replicas: 3\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := execute(t, "", "fix", "--preset", "baseline", folder)
	want := "\xef\xbb\xbf" + quietPod("a") + "---\n" + quietPod("b") + "--- # c\n" + quietPod("c") +
		"---\n" + `{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"}}` + "\n" + `{"apiVersion":"v1","kind":"Service","metadata":{"name":"e"}}`
	if got.code != 0 {
		t.Errorf("got exit code %d and %s, want 0", got.code, got.stderr)
	}
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

// quietPod violates nothing of the level baseline.
func quietPod(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: app, image: app:1}]}\n"
}

func TestFixExitCodes(t *testing.T) {
	folder := t.TempDir()
	chart := filepath.Join(folder, "chart")
	const rootPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: app, image: app:1, securityContext: {runAsUser: 0}}]}\n"
	for _, test := range []struct {
		name, args, stdin string
		code              int
		stdout, stderr    string // parts
	}{
		{name: "everything is mended", args: "fix --override --preset baseline -", stdin: strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1), stdout: "spec: {containers", stderr: "<stdin>:4:8: fixed podSecurity/hostNamespaces: spec.hostPID is removed, it was true"},
		{name: "a user is not guessed", args: "fix -", stdin: rootPod, code: 1, stdout: "runAsUser: 0", stderr: "not fixed podSecurity/runAsUser"},
		{name: "something cannot be judged", args: "fix --override --preset baseline -", stdin: "kind: [\n---\n" + strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1), code: 2, stdout: "kind: [\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers", stderr: "not judged: input: is not YAML"},
		{name: "no such file", args: "fix " + folder + "/none.yaml", code: 2, stderr: "cannot be read: no such file or directory"},
		{name: "both outputs", args: "fix --diff --write .", code: 2, stderr: "--write and --diff are given: give one of them"},
		{name: "standard input cannot be written", args: "fix --write -", code: 2, stderr: "standard input cannot be written; leave --write out"},
		{name: "a chart cannot be written", args: "fix --write --helm " + chart, code: 2, stderr: "what --kustomize and --helm render is in no file that could be written; leave --write out"},
		{name: "a kustomization cannot be written", args: "fix --write --kustomize " + chart, code: 2, stderr: "what --kustomize and --helm render is in no file that could be written"},
		{name: "update without a lock", args: "fix --update --online -", code: 2, stderr: "reading --update: name the file with --lock"},
		{name: "update offline", args: "fix --update --lock x -", code: 2, stderr: "reading --update: it asks registries; give --online too"},
		{name: "no lock", args: "fix --lock " + folder + "/none.lock -", code: 2, stderr: "none.lock: no such file or directory; portcullis fix --online --lock makes it"},
		{name: "no lock to check by", args: "check --online --lock " + folder + "/none.lock -", code: 2, stderr: "none.lock: no such file or directory; portcullis fix --online --lock makes it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t, test.stdin, strings.Fields(test.args)...)
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("got %d\n%s\n%s\nwant %d, a stdout with %q, a stderr with %q", got.code, got.stdout, got.stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

// TestFixLeavesDecisions leaves what the author asked for to somebody who knows why,
// fills in the rest, and changes all of it with --override.
func TestFixLeavesDecisions(t *testing.T) {
	const file = "testdata/fix/decisions/decided.yaml"
	got := execute(t, "", "fix", "--preset", "restricted", file)
	golden(t, "fix/decisions/golden.yaml", got.stdout)
	golden(t, "fix/decisions/golden.stderr.txt", got.stderr)
	if got.code != exitFailed {
		t.Errorf("got exit code %d, want %d: what is left is violated", got.code, exitFailed)
	}
	for _, line := range strings.Split(got.stderr, "\n") {
		if strings.Contains(line, ": fixed podSecurity") && !strings.Contains(line, " is set to ") && !strings.Contains(line, "capabilities.drop") {
			t.Errorf("got %s, want nothing changed that is set", line)
		}
	}
	all := execute(t, got.stdout, "fix", "--override", "--preset", "restricted", "-")
	if strings.Contains(all.stderr, "not fixed podSecurity") || all.code != 0 {
		t.Errorf("--override: got %d and %s, want 0 and everything fixed", all.code, all.stderr)
	}
}

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/input"
)

// TestFixLineEnds repairs files whose line ends the YAML library counts and an editor
// does not, and reports the lines of the editor.
func TestFixLineEnds(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: {note: \"NOTE\"}\nspec:\n  automountServiceAccountToken: false\n  containers:\n  - name: app\n    image: app:1\n"
	const pinned = "    securityContext:\n      allowPrivilegeEscalation: false\n"
	for _, test := range []struct{ name, text string }{
		{"line separator", strings.Replace(pod, "NOTE", "a\u2028b", 1)},
		{"paragraph separator", strings.Replace(pod, "NOTE", "a\u2029b", 1)},
		{"next line", strings.Replace(pod, "NOTE", "a\u0085b", 1)},
		{"carriage return in a text", strings.Replace(pod, "NOTE", "a\rb", 1)},
		{"carriage returns alone", strings.ReplaceAll(pod, "\n", "\r")},
	} {
		t.Run(test.name, func(t *testing.T) {
			fixed := execute(t, test.text, "fix", "--preset", "restricted", "-")
			eol := "\n"
			if !strings.Contains(test.text, eol) {
				eol = "\r"
			}
			want := test.text + strings.ReplaceAll(pinned, "\n", eol) + strings.ReplaceAll("  securityContext:\n    seccompProfile:\n      type: RuntimeDefault\n", "\n", eol)
			if diff := cmp.Diff(want, fixed.stdout); diff != "" {
				t.Errorf("fixed (-want +got):\n%s%s", diff, fixed.stderr)
			}
			checked := execute(t, test.text, "check", "--preset", "restricted", "-")
			if want := "9:5"; !strings.Contains(checked.stdout, want) {
				t.Errorf("got %s, want a place %s", checked.stdout, want)
			}
		})
	}
	flow := execute(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {note: \"a\u2028b\"}}\nspec: {hostPID: true, containers: [{name: a, image: x}]}\n", "fix", "--override", "--preset", "baseline", "-")
	if want := "\u2028b\"}}\nspec: {containers: [{name: a, image: x}]}\n"; flow.code != 0 || !strings.HasSuffix(flow.stdout, want) {
		t.Errorf("flow: got %+v, want 0 and an end %q", flow, want)
	}
	broken := execute(t, "kind: \"a\u2028b\"\na: 1\na: 2\n", "check", "--preset", "restricted", "-")
	if want := "ERROR 3 input"; !strings.Contains(broken.stdout, want) {
		t.Errorf("got %s, want a problem on line 3", broken.stdout)
	}
}

// brittleImages panic over one image.
type brittleImages struct{}

func (brittleImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	for _, n := range needs {
		if strings.Contains(n.Image, "brittle") {
			panic("index out of range")
		}
	}
	return image.Facts{}
}

// TestPanicStaysInItsDocument requires that fix and check end with what they found in
// the other documents and files.
func TestPanicStaysInItsDocument(t *testing.T) {
	folder := t.TempDir()
	bad := strings.Replace(quietPod("a"), "app:1", "brittle:1", 1)
	good := strings.Replace(quietPod("b"), "{containers", "{hostPID: true, containers", 1)
	for name, text := range map[string]string{"1.yaml": bad + "---\n" + good, "2.yaml": good} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := judgeBy(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}\n")
	j.images = brittleImages{}
	derive, err := newDeriver(j)
	if err != nil {
		t.Fatal(err)
	}
	derive.override = true
	const want = `1.yaml:1: not judged: input: stopped portcullis, which is a mistake in it, please report it: "index out of range"`
	var log bytes.Buffer
	x := &fixer{judge: j, derive: derive, log: &log, deliver: writeBack{}}
	if err := x.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{folder}})); err != nil {
		t.Fatal(err)
	}
	if x.verdict() != errUnjudged || !strings.Contains(log.String(), want) || x.seen != 2 {
		t.Errorf("fix: got %v and %s, want %v and a text with %q", x.verdict(), &log, errUnjudged, want)
	}
	c := &checker{judge: j, log: &log}
	if err := c.check(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{folder}})); err != nil {
		t.Fatal(err)
	}
	if c.report.Summary.Error != 1 || c.report.Summary.Objects != 3 || c.failed == 0 {
		t.Errorf("check: got %+v, want one error among three objects, and findings", c.report.Summary)
	}
}

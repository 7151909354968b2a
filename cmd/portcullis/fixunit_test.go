package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
)

// restlessImages say another digest each time, and none that a kubelet accepts.
type restlessImages struct{ asked *int }

func (r restlessImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		*r.asked++
		ref, _ := image.ParseReference(n.Image)
		facts[n.Image] = image.Fact{Image: n.Image, Reference: ref, Digest: fmt.Sprintf("sha256:%d", *r.asked)}
	}
	return facts
}

// TestFixDoesNotHold leaves a document as it was whose fixes have no end, and repairs
// the one beside it.
func TestFixDoesNotHold(t *testing.T) {
	good := strings.Replace(quietPod("b"), "{containers: [{name: app, image: app:1}]", "{hostPID: true, containers: []", 1)
	bad := strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1)
	file := filepath.Join(t.TempDir(), "pods.yaml")
	if err := os.WriteFile(file, []byte(bad+"---\n"+good), 0o600); err != nil {
		t.Fatal(err)
	}
	j := judgeBy(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}\n")
	j.images = restlessImages{new(int)}
	derive, err := newDeriver(j)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	derive.override = true
	x := &fixer{judge: j, derive: derive, log: &log, deliver: writeBack{}}
	if err := x.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{file}})); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := bad + "---\n" + strings.Replace(good, "hostPID: true, ", "", 1)
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "it is not fixed, and the document is left as it was, because after 6 rounds there was still something to change"; !strings.Contains(log.String(), want) {
		t.Errorf("got %s, want a text with %q", &log, want)
	}
	if strings.Contains(log.String(), file+":4:8: fixed") {
		t.Errorf("got %s, want nothing said to be fixed in the first document", &log)
	}
}

// TestFixBroken requires that a finding which is still there is seen.
func TestFixBroken(t *testing.T) {
	field := pod.Path{}.Child("spec").Child("hostPID")
	finding := engine.Finding{Finding: pod.Finding{Rule: "podSecurity", Check: "hostNamespaces", Path: field}}
	r := &round{unit: &unit{made: []change{{field: field, edit: pod.Edit{Path: field, Old: true}, finding: &finding}}}}
	for _, test := range []struct {
		name  string
		found []engine.Finding
		want  string
	}{
		{"gone", nil, ""},
		{"another one", []engine.Finding{{Finding: pod.Finding{Rule: "podSecurity", Check: "hostPorts", Path: field}}}, ""},
		{"still there", []engine.Finding{finding}, "its fix does not hold: spec.hostPID is removed, it was true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r.judged = []judgement{{validation: engine.Verdict{Findings: test.found}}}
			if got := r.broken(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

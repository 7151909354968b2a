package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnknownAnnotations holds that an annotation of ours which nobody reads is told,
// and never denies.
func TestUnknownAnnotations(t *testing.T) {
	const policy = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: p}
spec: {mode: Enforce, mutate: {hardening: {fields: [seccompProfile]}}}
`
	w := decode(t, `apiVersion: apps/v1
kind: Deployment
spec:
  template:
    metadata:
      annotations:
        portcullis.dev/readyness-probe: "http:8080/"
        portcullis.dev/livenes-probe.app: "http:8080/"
        portcullis.dev/skip.app: digests
        portcullis.dev/wanted: "true"
        portcullis.dev/readiness-probe: "http:8080/"
        portcullis.dev/liveness-probe.app: "http:8080/"
        portcullis.dev/refresh: "1"
        example.com/readyness-probe: "http:8080/"
    spec: {containers: [{name: app, image: "app:1"}]}
`)
	v := plan(t, compile(t, policy), Review{Workload: w}).Mutate(nil)
	const known = "remove it, or use portcullis.dev/refresh, portcullis.dev/pinned, portcullis.dev/skip, " +
		"portcullis.dev/break-glass, portcullis.dev/readiness-probe, portcullis.dev/liveness-probe, portcullis.dev/startup-probe"
	got := map[string]string{}
	for _, f := range v.Findings {
		if f.Check == checkAnnotation {
			got[f.Path.String()] = f.Fix
		}
	}
	at := `spec.template.metadata.annotations`
	want := map[string]string{
		at + `["portcullis.dev/readyness-probe"]`:   "did you mean portcullis.dev/readiness-probe?",
		at + `["portcullis.dev/livenes-probe.app"]`: "did you mean portcullis.dev/liveness-probe.app?",
		at + `["portcullis.dev/skip.app"]`:          "use portcullis.dev/skip without a container",
		at + `["portcullis.dev/wanted"]`:            known,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fixes (-want +got):\n%s", diff)
	}
	if v.Denied() {
		t.Error("got a denial, want none")
	}
}

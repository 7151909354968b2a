package report

import "testing"

func TestBrief(t *testing.T) {
	r := Result{Rule: "registries", Result: Fail, Container: "a\nb", Field: "spec.containers[0].image", Value: "evil\x1b[31m/x", Message: "the image is from\u202e elsewhere", Fix: "write\tanother one"}
	const want = `registries: container "a\nb": spec.containers[0].image is "evil\x1b[31m/x": the image is from\u202e elsewhere. Fix: write\tanother one`
	if got := Brief(r); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Brief(Result{Rule: "probes", Result: Warn, Message: "there is none"}); got != "probes: there is none" {
		t.Errorf("got %s", got)
	}
}

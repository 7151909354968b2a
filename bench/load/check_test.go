package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

func TestChecks(t *testing.T) {
	clean := reviews.Review{Kind: "Pod", Images: map[string]string{"/spec/containers/0/image": "nginx:1.27"}}
	bad := reviews.Review{Kind: "Pod", Violates: "hostPorts"}
	cleanTemplate := reviews.Review{Kind: "Deployment"}
	badTemplate := reviews.Review{Kind: "Deployment", Violates: "hostPorts"}
	allow := answer(&admissionv1.AdmissionResponse{Allowed: true})
	warn := answer(&admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"would violate"}})
	deny := answer(&admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "hostPort is 8080"}})
	patch := func(s string) answer {
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte("[" + s + "]")}
	}
	const pin = `{"op":"replace","path":"/spec/containers/0/image","value":"nginx:1.27@sha256:0"}`
	pinned := checkPinned(map[string]string{"nginx:1.27": "nginx:1.27@sha256:0"})

	cases := []struct {
		name   string
		check  func(reviews.Review, answer) error
		review reviews.Review
		answer answer
		right  bool
	}{
		{"clean, allowed", checkDenied, clean, allow, true},
		{"clean, denied", checkDenied, clean, deny, false},
		{"bad, allowed", checkDenied, bad, allow, false},
		{"bad, denied", checkDenied, bad, deny, true},
		{"bad, denied without a message", checkDenied, bad, &admissionv1.AdmissionResponse{}, false},
		{"bad pod, warned about by upstream", checkUpstream, bad, warn, false},
		{"bad template, warned about by upstream", checkUpstream, badTemplate, warn, true},
		{"bad template, allowed by upstream", checkUpstream, badTemplate, allow, false},
		{"clean template, warned about by upstream", checkUpstream, cleanTemplate, warn, false},
		{"pinned", pinned, clean, patch(pin), true},
		{"pinned to another digest", pinned, clean, patch(strings.ReplaceAll(pin, "sha256:0", "sha256:1")), false},
		{"pinned and more", pinned, clean, patch(pin + `,{"op":"remove","path":"/spec/hostPID"}`), false},
		{"pinned and noted", pinned, clean, patch(pin + `,{"op":"add","path":"/metadata/annotations","value":{"portcullis.dev/pinned":"a"}}`), true},
		{"pinned and noted beside others", pinned, clean, patch(pin + `,{"op":"add","path":"/metadata/annotations/portcullis.dev~1pinned","value":"a"}`), true},
		{"pinned and all annotations lost", pinned, clean, patch(pin + `,{"op":"replace","path":"/metadata/annotations","value":{"portcullis.dev/pinned":"a"}}`), false},
		{"pinned and annotated for another", pinned, clean, patch(pin + `,{"op":"add","path":"/metadata/annotations","value":{"example.com/a":"b"}}`), false},
		{"not pinned", pinned, clean, patch(""), false},
		{"no patch", pinned, clean, allow, false},
		{"pinning denied", pinned, clean, deny, false},
	}
	for _, c := range cases {
		if err := c.check(c.review, c.answer); (err == nil) != c.right {
			t.Errorf("%s: got error %v, want right: %t", c.name, err, c.right)
		}
	}
}

func TestCheckRepaired(t *testing.T) {
	const object = `{"spec":{"containers":[{"name":"a","image":"nginx:1.27","env":[{"name":"A","value":"1"}]}]}}`
	const (
		token    = `{"op":"add","path":"/spec/automountServiceAccountToken","value":false}`
		pin      = `{"op":"replace","path":"/spec/containers/0/image","value":"nginx:1.27@sha256:0"}`
		env      = `{"op":"add","path":"/spec/containers/0/env/1","value":{"name":"PYTHONUNBUFFERED","value":"1"}}`
		message  = `{"op":"add","path":"/spec/containers/0/terminationMessagePolicy","value":"FallbackToLogsOnError"}`
		readOnly = `{"op":"add","path":"/spec/containers/0/securityContext","value":{"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false}}`
		probe    = `{"op":"add","path":"/spec/containers/0/readinessProbe","value":{"exec":{"command":["x"]}}}`
		liveness = `{"op":"add","path":"/spec/containers/0/livenessProbe","value":{"exec":{"command":["x"]}}}`
	)
	all := []string{token, pin, env, message, readOnly, probe, liveness}
	review := reviews.Review{Kind: "Pod", Object: []byte(object)}
	check := checkRepaired(map[string]string{"nginx:1.27": "nginx:1.27@sha256:0"})
	answerWith := func(operations []string) answer {
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte("[" + strings.Join(operations, ",") + "]")}
	}
	if err := check(review, answerWith(all)); err != nil {
		t.Errorf("all edits: got error %v, want none", err)
	}
	for i, left := range all {
		if err := check(review, answerWith(slices.Delete(slices.Clone(all), i, i+1))); err == nil {
			t.Errorf("without %s: got no error, want one", left)
		}
	}
	for _, harm := range []string{
		`{"op":"replace","path":"/spec/containers/0/env/0","value":{"name":"A","value":"2"}}`,
		`{"op":"add","path":"/spec/containers/0/env/0","value":{"name":"B"}}`,
		`{"op":"add","path":"/spec/containers/0/command","value":["x"]}`,
		`{"op":"remove","path":"/spec/nothing"}`,
	} {
		if err := check(review, answerWith(append(slices.Clone(all), harm))); err == nil {
			t.Errorf("with %s: got no error, want one", harm)
		}
	}
	if err := check(review, &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "no"}}); err == nil {
		t.Error("a denial: got no error, want one")
	}
}

func TestAnswersOfOtherReviewsAreErrors(t *testing.T) {
	for uid, want := range map[types.UID]bool{"a": true, "b": false} {
		body, err := json.Marshal(admissionv1.AdmissionReview{Response: &admissionv1.AdmissionResponse{UID: uid}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeAnswer(reviews.Review{UID: "a"}, body); (err == nil) != want {
			t.Errorf("uid %s: got error %v, want right: %t", uid, err, want)
		}
	}
}

func TestPartsCoverAllRequests(t *testing.T) {
	all := []reviews.Review{{UID: "a"}, {UID: "b"}, {UID: "c"}}
	s := settings{requests: 7, rounds: 2}
	var got []types.UID
	for round := range s.rounds {
		for _, r := range part(all, round, s) {
			got = append(got, r.UID)
		}
	}
	if diff := cmp.Diff([]types.UID{"a", "b", "c", "a", "b", "c", "a"}, got); diff != "" {
		t.Errorf("reviews sent in two rounds (-want +got):\n%s", diff)
	}
}

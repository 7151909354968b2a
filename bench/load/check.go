package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

type answer = *admissionv1.AdmissionResponse

// decodeAnswer reads the answer to a review.
func decodeAnswer(r reviews.Review, body []byte) (answer, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("decoding %q: %w", body, err)
	}
	if review.Response == nil || review.Response.UID != r.UID {
		return nil, fmt.Errorf("got %q, want a response with uid %s", body, r.UID)
	}
	return review.Response, nil
}

// checkDenied wants a denial with a reason for what violates a check, and nothing
// else.
func checkDenied(r reviews.Review, a answer) error {
	if want := r.Violates == ""; a.Allowed != want {
		return fmt.Errorf("got allowed=%t, want %t", a.Allowed, want)
	}
	if !a.Allowed && (a.Result == nil || a.Result.Message == "") {
		return fmt.Errorf("got a denial without a message")
	}
	return nil
}

// checkUpstream is checkDenied with upstream's rule that a template in violation
// is allowed with a warning.
func checkUpstream(r reviews.Review, a answer) error {
	if r.Kind == "Pod" {
		return checkDenied(r, a)
	}
	if warned, want := len(a.Warnings) > 0, r.Violates != ""; !a.Allowed || warned != want {
		return fmt.Errorf("got allowed=%t with warnings %q, want it allowed and warned about: %t", a.Allowed, a.Warnings, want)
	}
	return nil
}

// checkPinned wants a patch that pins every image, and beside that at most keeps
// book in annotations of ours.
func checkPinned(pinned map[string]string) func(reviews.Review, answer) error {
	return func(r reviews.Review, a answer) error {
		if !a.Allowed {
			return fmt.Errorf("got a denial, want a patch: %v", a.Result)
		}
		var operations []operation
		if err := json.Unmarshal(a.Patch, &operations); err != nil {
			return fmt.Errorf("decoding patch %q: %w", a.Patch, err)
		}
		var got, want []string
		for _, o := range operations {
			if !o.annotates() {
				got = append(got, fmt.Sprintf("%s %s %s", o.Op, o.Path, o.Value))
			}
		}
		for path, written := range r.Images {
			want = append(want, fmt.Sprintf("replace %s %q", path, pinned[written]))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("got a patch of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	}
}

// operation is one of a JSON Patch.
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// annotates tells an operation that sets nothing but annotations of ours.
func (o operation) annotates() bool {
	const annotations, ours = "/metadata/annotations", "portcullis.dev/"
	if strings.HasPrefix(o.Path, annotations+"/"+strings.ReplaceAll(ours, "/", "~1")) {
		return true
	}
	var values map[string]string
	if o.Op != "add" || o.Path != annotations || json.Unmarshal(o.Value, &values) != nil {
		return false
	}
	for key := range values {
		if !strings.HasPrefix(key, ours) {
			return false
		}
	}
	return true
}

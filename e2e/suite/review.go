package suite

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// Request is what of an AdmissionRequest a test cares about.
type Request struct {
	Kind        Kind
	Subresource string
	Namespace   string
	Operation   admissionv1.Operation
	Object, Old []byte
}

// Marshal writes an AdmissionReview of version v1.
func (r Request) Marshal(t testing.TB) []byte {
	t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:         "705ab4f5-6393-11e8-b7cc-42010a800002",
			Kind:        metav1.GroupVersionKind{Group: r.Kind.Group, Version: "v1", Kind: r.Kind.Name},
			Resource:    metav1.GroupVersionResource{Group: r.Kind.Group, Version: "v1", Resource: r.Kind.Resource},
			SubResource: r.Subresource,
			Namespace:   r.Namespace,
			Operation:   r.Operation,
			UserInfo:    authenticationv1.UserInfo{Username: "somebody"},
			Object:      runtime.RawExtension{Raw: r.Object},
			OldObject:   runtime.RawExtension{Raw: r.Old},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Review posts a request straight to a server, past the API server.
func Review(t testing.TB, s *harness.Server, path string, r Request) *admissionv1.AdmissionResponse {
	t.Helper()
	response, err := s.Post(t.Context(), path, "application/json", r.Marshal(t))
	if err != nil {
		t.Fatalf("posting a review to %s: %v", path, err)
	}
	return ReadReview(t, response)
}

// ReadReview reads the answer to a review.
func ReadReview(t testing.TB, response *http.Response) *admissionv1.AdmissionResponse {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	var review admissionv1.AdmissionReview
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got status %d, want 200: %s", response.StatusCode, body)
	}
	if err := json.Unmarshal(body, &review); err != nil || review.Response == nil {
		t.Fatalf("got %s, want an AdmissionReview with a response", body)
	}
	return review.Response
}

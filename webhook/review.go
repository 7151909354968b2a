package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// request is what is read of an AdmissionRequest. Objects stay bytes: a patch is
// made for the bytes, and what kind of object they are the request says.
type request struct {
	UID         types.UID                   `json:"uid"`
	Kind        metav1.GroupVersionKind     `json:"kind"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	Subresource string                      `json:"subResource"`
	Name        string                      `json:"name"`
	Namespace   string                      `json:"namespace"`
	Operation   admissionv1.Operation       `json:"operation"`
	Object      jsontext.Value              `json:"object"`
	OldObject   jsontext.Value              `json:"oldObject"`
	UserInfo    authenticationv1.UserInfo   `json:"userInfo"`

	// What follows is read by expressions alone.
	RequestKind        *metav1.GroupVersionKind     `json:"requestKind"`
	RequestResource    *metav1.GroupVersionResource `json:"requestResource"`
	RequestSubresource string                       `json:"requestSubResource"`
	DryRun             *bool                        `json:"dryRun"`
	Options            jsontext.Value               `json:"options"`

	// turns are what it gives its turn back to while it waits.
	turns *turns
}

// admission is the request as expressions see it, without the objects, which they
// have under names of their own.
func (r *request) admission() *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID: r.UID, Kind: r.Kind, Resource: r.Resource, SubResource: r.Subresource,
		RequestKind: r.RequestKind, RequestResource: r.RequestResource, RequestSubResource: r.RequestSubresource,
		Name: r.Name, Namespace: r.Namespace, Operation: r.Operation, UserInfo: r.UserInfo, DryRun: r.DryRun,
		Options: runtime.RawExtension{Raw: r.Options},
	}
}

const reviewKind = "AdmissionReview"

// decodeReview reads the request out of an AdmissionReview of version v1.
func decodeReview(body []byte) (*request, error) {
	var review struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Request    *request `json:"request"`
	}
	if err := jsonv2.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("decoding the %s: %w", reviewKind, err)
	}
	if want := admissionv1.SchemeGroupVersion.String(); review.APIVersion != want || review.Kind != reviewKind {
		return nil, fmt.Errorf("got apiVersion %q, kind %q, want %s, %s", review.APIVersion, review.Kind, want, reviewKind)
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, errors.New("the " + reviewKind + " has no request with a uid")
	}
	return review.Request, nil
}

// encodeReview writes a response to the request with the given uid.
func encodeReview(uid types.UID, response *admissionv1.AdmissionResponse) ([]byte, error) {
	answer := *response // a response may be shared
	answer.UID = uid
	return json.Marshal(struct {
		APIVersion string                         `json:"apiVersion"`
		Kind       string                         `json:"kind"`
		Response   *admissionv1.AdmissionResponse `json:"response"`
	}{admissionv1.SchemeGroupVersion.String(), reviewKind, &answer})
}

func allowed() *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func denied(message string) *admissionv1.AdmissionResponse {
	return refused(http.StatusForbidden, metav1.StatusReasonForbidden, message)
}

// unreadable refuses an object that cannot be judged: passing it by would be the
// way around every rule.
func unreadable(err error) *admissionv1.AdmissionResponse {
	return refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
}

// failed refuses because of a fault of ours, or of something that is asked.
func failed(message string) *admissionv1.AdmissionResponse {
	return refused(http.StatusInternalServerError, metav1.StatusReasonInternalError, message)
}

func refused(code int32, reason metav1.StatusReason, message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

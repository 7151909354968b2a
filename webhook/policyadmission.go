package webhook

import (
	"fmt"
	"reflect"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

func isPolicy(req *request) bool {
	return req.Resource.Group == policies.Group && req.Resource.Resource == "podpolicies"
}

// admitPolicy answers reviews of PodPolicies. The schema of the CRD refuses most
// of what is wrong and cannot say everything that Validate can; a policy that is
// stored and cannot be compiled would be one that is not in force. It reads the
// object as the command line reads a file, so that both say the same.
func admitPolicy(req *request) *admissionv1.AdmissionResponse {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return allowed()
	}
	response := allowed()
	if !sameSpec(req) { // labels and finalizers of what is stored stay free
		response = refuseProblems(policies.Kind, req, policies.ReviewPolicy(req.Object))
	}
	if response.Allowed {
		response.Warnings = leftOut(req)
	}
	return response
}

// leftOut warns about fields with nothing after them in what kubectl apply was given.
// It sends no nulls, so that the object has no trace of a rule that the user wants;
// what it was given is in an annotation, once the user applies it anew.
func leftOut(req *request) (warnings []string) {
	applied := lastApplied(req.Object)
	if applied == "" || applied == lastApplied(req.OldObject) {
		return nil
	}
	for _, p := range policies.ReviewPolicy([]byte(applied)) {
		if p.Empty {
			warnings = append(warnings, p.Error()+": kubectl apply has left it out, and it is not in force")
		}
	}
	return warnings
}

func lastApplied(object []byte) string {
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if jsonv2.Unmarshal(object, &o) != nil {
		return ""
	}
	return o.Metadata.Annotations[corev1.LastAppliedConfigAnnotation]
}

// sameSpec reports whether an update leaves the spec as it was.
func sameSpec(req *request) bool {
	if req.Operation != admissionv1.Update {
		return false
	}
	var object, old struct {
		Spec any `json:"spec"`
	}
	return jsonv2.Unmarshal(req.Object, &object) == nil && jsonv2.Unmarshal(req.OldObject, &old) == nil && reflect.DeepEqual(object, old)
}

// refuseProblems refuses an object for all that is wrong with it.
func refuseProblems(kind string, req *request, problems policies.Problems) *admissionv1.AdmissionResponse {
	if len(problems) == 0 {
		return allowed()
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = "- " + p.Error()
	}
	return denied(fmt.Sprintf("%s %q is refused:\n%s", kind, req.Name, strings.Join(lines, "\n")))
}

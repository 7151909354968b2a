package webhook

import (
	"fmt"
	"reflect"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admission/v1"

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
	if sameSpec(req) {
		return allowed() // labels and finalizers of what is stored stay free
	}
	return refuseProblems(policies.Kind, req, policies.ReviewPolicy(req.Object))
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

package webhook

import (
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/portcullis-dev/portcullis/policies"
)

func isPolicy(req *request) bool {
	return req.Resource.Group == policies.Group && req.Resource.Resource == "podpolicies"
}

// admitPolicy answers reviews of PodPolicies. The schema of the CRD refuses most
// of what is wrong and cannot say everything that Validate can; a policy that is
// stored and cannot be compiled would be one that is not in force.
func admitPolicy(req *request) *admissionv1.AdmissionResponse {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return allowed()
	}
	var policy, old policies.PodPolicy
	if err := jsonv2.Unmarshal(req.Object, &policy); err != nil {
		return unreadable(err)
	}
	if req.Operation == admissionv1.Update {
		if err := jsonv2.Unmarshal(req.OldObject, &old); err == nil && equality.Semantic.DeepEqual(old.Spec, policy.Spec) {
			return allowed() // labels and finalizers of what is stored stay free
		}
	}
	policies.Default(&policy)
	problems := policies.Validate(&policy)
	if len(problems) == 0 {
		return allowed()
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = "- " + p.Error()
	}
	return denied("PodPolicy \"" + policy.Name + "\" is refused:\n" + strings.Join(lines, "\n"))
}

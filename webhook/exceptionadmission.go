package webhook

import (
	"context"
	"log/slog"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

// exceptionAdmission answers reviews of PolicyExceptions.
type exceptionAdmission struct {
	// policies are those in force, with changes of a moment ago: a policy and an
	// exception from it often come in one file.
	policies   func(context.Context) ([]*policies.Compiled, error)
	namespaces []string
	now        func() time.Time
	log        *slog.Logger
}

func isException(req *request) bool {
	return req.Resource.Group == policies.Group && req.Resource.Resource == "policyexceptions"
}

// admit refuses an exception that would cover nothing or nobody answers for. What
// is stored stays free to get labels and finalizers and to be deleted.
func (a *exceptionAdmission) admit(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return allowed()
	}
	if sameSpec(req) {
		return allowed()
	}
	inForce, err := a.policies(ctx)
	if err != nil {
		a.log.Error("looking up policies", "err", err)
		return failed("Portcullis cannot look up the policies that the exception is from; try again")
	}
	terms := policies.ExceptionTerms{Namespaces: a.namespaces, Policies: inForce, Now: a.now()}
	return refuseProblems(policies.ExceptionKind, req, policies.ReviewException(req.Object, terms))
}

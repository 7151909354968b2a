package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// gatherer finds facts about images, all at once and within the deadline.
type gatherer interface {
	Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
}

// namespaceGetter returns a namespace by name, the newest there is.
type namespaceGetter interface {
	GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error)
}

// admission answers reviews of workloads.
type admission struct {
	engine     *engine.Engine
	policies   func() *policies.Set
	namespaces namespaceGetter
	images     gatherer
	metrics    *metrics
	log        *slog.Logger
	now        func() time.Time
	// warning is how long before its end an exception is warned about.
	warning time.Duration
	// denied counts what is refused, nil: nobody does.
	denied *denials.Table
	// glass is nil where there is nothing to keep its breaking in.
	glass *glassBreaker
}

// mutate answers the mutating webhook: a patch, or a denial where something that
// has to be set cannot be.
func (a *admission) mutate(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	plan, response := a.plan(ctx, req)
	if plan == nil {
		return response
	}
	verdict := plan.Mutate(a.gather(ctx, req, plan, plan.MutationNeeds()))
	note := a.breakGlass(ctx, req, plan, &verdict, false)
	patch, err := pod.Patch(req.Object, verdict.Changes())
	if err != nil {
		return unreadable(err)
	}
	response = noted(a.respond(plan, verdict), note)
	a.countDenied(req, plan, verdict)
	if response.Allowed && patch != nil {
		kind := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &kind
	}
	return response
}

// validate answers the validating webhook, for what all mutating webhooks left.
func (a *admission) validate(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	plan, response := a.plan(ctx, req)
	if plan == nil {
		return response
	}
	verdict := plan.Validate(a.gather(ctx, req, plan, plan.ValidationNeeds()))
	note := a.breakGlass(ctx, req, plan, &verdict, true)
	a.countDenied(req, plan, verdict)
	return noted(a.respond(plan, verdict), note)
}

// noted adds what the user is told about what he asks for, to the refusal too: not
// every client shows warnings.
func noted(response *admissionv1.AdmissionResponse, note string) *admissionv1.AdmissionResponse {
	if note == "" {
		return response
	}
	response.Warnings = append(response.Warnings, note)
	if !response.Allowed {
		response.Result.Message += "\n" + note
	}
	return response
}

// gather finds the facts that a plan needs. It is the one step that waits for
// registries, and meanwhile others have its turn.
func (a *admission) gather(ctx context.Context, req *request, plan *engine.Plan, needs []image.Need) image.Facts {
	if len(needs) == 0 {
		return image.Facts{}
	}
	req.turns.giveBack()
	defer req.turns.retake()
	return a.images.Gather(ctx, needs, credentials(plan.Review))
}

// plan reads the request and finds the policies for it. Where there is nothing
// to decide, or the request cannot be judged, there is no plan but a response.
func (a *admission) plan(ctx context.Context, req *request) (*engine.Plan, *admissionv1.AdmissionResponse) {
	if !isWorkload(req) || !judged(req) {
		return nil, allowed()
	}
	review, err := decodeObjects(req)
	if err != nil {
		return nil, unreadable(err)
	}
	namespace, err := a.namespace(ctx, req)
	if err != nil {
		// Without the namespace it is not known which policies match. Passing over
		// those that select by namespace would switch them off (CVE-2025-46342).
		a.log.Error("looking up a namespace", "namespace", req.Namespace, "err", err)
		return nil, failed(fmt.Sprintf("Portcullis cannot look up namespace %q and refuses what it cannot judge; try again", req.Namespace))
	}
	set := a.policies()
	if set == nil {
		return nil, failed("Portcullis has not loaded its policies yet and refuses what it cannot judge; try again")
	}
	review.Now = a.now()
	review.Namespace = engine.Namespace{Name: namespace.Name, Labels: namespace.Labels}
	review.Request.Namespace, review.Request.Context = namespace, ctx
	return a.engine.Plan(review, set), nil
}

// namespace is that of the request. Others have its turn meanwhile: the API server is
// asked where the cache does not know one.
func (a *admission) namespace(ctx context.Context, req *request) (*corev1.Namespace, error) {
	req.turns.giveBack()
	defer req.turns.retake()
	return a.namespaces.GetNamespace(ctx, req.Namespace)
}

// judged reports whether a request can change what a workload runs. Subresources
// of pods are evaluated unless they are known to be harmless, so that one that a
// newer API server adds is not a way around the rules.
func judged(req *request) bool {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return false
	}
	if req.Resource.Resource != "pods" {
		return req.Subresource == "" // scale and status leave the template alone
	}
	switch req.Subresource {
	// The list of k8s.io/pod-security-admission/admission, ignoredPodSubresources.
	case "exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status":
		return false
	}
	return true
}

func isWorkload(req *request) bool {
	return pod.IsResource(req.Resource.Group, req.Resource.Resource)
}

// decodeObjects reads the object and, on an update, what it replaces.
func decodeObjects(req *request) (engine.Review, error) {
	gvk := schema.GroupVersionKind(req.Kind)
	kind, ok := pod.KindFor(gvk)
	if !ok {
		return engine.Review{}, fmt.Errorf("cannot judge a %s in %s/%s: expected one of the kinds that carry a pod template", gvk, req.Resource.Resource, req.Subresource)
	}
	review := engine.Review{Subresource: req.Subresource, Username: req.UserInfo.Username}
	review.Request.Object, review.Request.Admission = req.Object, req.admission
	var err error
	if review.Workload, err = decodeObject(kind, req.Object); err != nil {
		return review, err
	}
	if req.Operation == admissionv1.Update {
		review.Old, err = decodeObject(kind, req.OldObject)
		review.Request.OldObject = req.OldObject
	}
	return review, err
}

func decodeObject(kind pod.Kind, data jsontext.Value) (*pod.Workload, error) {
	if len(data) == 0 || data.Kind() == 'n' {
		return nil, errors.New("the review has no object, or is of an update and has no old object")
	}
	return pod.Decode(kind, data)
}

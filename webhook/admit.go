package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// respond writes a verdict as the API server passes it on: denials to the user,
// warnings to kubectl, the rest to the audit log.
func (a *admission) respond(plan *engine.Plan, v engine.Verdict) *admissionv1.AdmissionResponse {
	a.metrics.verdict(v)
	response := allowed()
	if v.Denied() {
		response = denied(denial(plan.Workload, v.With(policies.ModeEnforce)))
		a.log.Debug("denied", "kind", plan.Workload.Kind.Name, "namespace", plan.Namespace.Name,
			"name", plan.Workload.DisplayName(), "message", response.Result.Message)
	} else {
		response.Warnings = append(warnings(v.With(policies.ModeWarn)), proposals(v)...)
		response.Warnings = append(response.Warnings, a.endings(plan.Now, v)...)
	}
	response.AuditAnnotations = auditAnnotations(v)
	return response
}

// maxListed bounds the findings in one message. A pod with forty containers is
// wrong in the same way forty times.
const maxListed = 20

func denial(w *pod.Workload, findings []engine.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q is refused:", w.Kind.Name, w.DisplayName())
	for i, f := range findings {
		if i == maxListed {
			fmt.Fprintf(&b, "\n- and %d more", len(findings)-maxListed)
			break
		}
		b.WriteString("\n- " + f.String())
	}
	return b.String()
}

func warnings(findings []engine.Finding) []string {
	var texts []string
	for i, f := range findings {
		switch {
		case i == maxListed:
			return append(texts, fmt.Sprintf("and %d more", len(findings)-maxListed))
		case f.Existing:
			texts = append(texts, "tolerated in this update because it was so before, and still refused in new objects, such as the Pods that come of it: "+f.String())
		default:
			texts = append(texts, f.String())
		}
	}
	return texts
}

// proposals tell of the edits that policies with mode Warn would make.
func proposals(v engine.Verdict) []string {
	var texts []string
	for _, e := range v.Proposed {
		switch {
		case e.Mode != policies.ModeWarn:
		case len(texts) == maxListed:
			return append(texts, "and more edits; the audit log lists them")
		default:
			texts = append(texts, e.String())
		}
	}
	return texts
}

// endings warn of the exceptions that the workload will soon have to do without.
func (a *admission) endings(now time.Time, v engine.Verdict) []string {
	var texts []string
	for _, u := range v.Exceptions {
		if text := u.Ending(now, a.warning); text != "" && len(texts) < maxListed {
			texts = append(texts, text)
		}
	}
	return texts
}

// maxAnnotation bounds an audit annotation, in bytes.
const maxAnnotation = 4 << 10

// auditAnnotations is what the API server's audit log keeps about a verdict. It
// puts the webhook's name before the keys.
func auditAnnotations(v engine.Verdict) map[string]string {
	annotations := map[string]string{}
	counting, exempt := byExemption(v.Findings)
	var passed []engine.Finding
	counting, passed = byGlass(counting)
	if len(passed) > 0 {
		annotations["break-glass"] = joined(passed, func(b []byte, f engine.Finding) []byte {
			return append(b, f.Glass.String()+": "+f.String()...)
		})
	}
	if len(counting) > 0 {
		annotations["findings"] = joined(counting, func(b []byte, f engine.Finding) []byte {
			return append(b, string(f.Mode)+": "+f.String()...)
		})
	}
	if len(exempt) > 0 {
		annotations["exempt"] = joined(exempt, func(b []byte, f engine.Finding) []byte {
			return append(b, f.Exempt.String()+": "+f.String()...)
		})
	}
	if unused := engine.NotNeeded(v); len(unused) > 0 {
		annotations["exceptions-not-needed"] = joined(unused, func(b []byte, e *policies.CompiledException) []byte {
			return append(b, e.String()...)
		})
	}
	if len(v.Edits) > 0 {
		annotations["edits"] = joined(v.Edits, appendEdit)
	}
	if len(v.Proposed) > 0 {
		annotations["proposed-edits"] = joined(v.Proposed, appendEdit)
	}
	if v.LabelError != nil {
		annotations["namespace-labels-error"] = v.LabelError.Error()
	}
	return annotations
}

func appendEdit(b []byte, e engine.Edit) []byte { return e.Append(b) }

// byExemption parts the findings that count from those that an exception covers.
func byExemption(findings []engine.Finding) (counting, exempt []engine.Finding) {
	for _, f := range findings {
		if f.Exempt != nil {
			exempt = append(exempt, f)
			continue
		}
		counting = append(counting, f)
	}
	return counting, exempt
}

// byGlass parts the findings that count from those that somebody has passed.
func byGlass(findings []engine.Finding) (counting, passed []engine.Finding) {
	if !slices.ContainsFunc(findings, func(f engine.Finding) bool { return f.Glass != nil }) {
		return findings, nil
	}
	for _, f := range findings {
		if f.Glass != nil {
			passed = append(passed, f)
			continue
		}
		counting = append(counting, f)
	}
	return counting, passed
}

// joined are lines, as many as the annotation holds.
func joined[T any](list []T, line func(b []byte, e T) []byte) string {
	const usual = 256 // bytes of a line
	b := make([]byte, 0, min(len(list)*usual, maxAnnotation+usual))
	for i, e := range list {
		begin := len(b)
		if b = line(b, e); len(b) > maxAnnotation {
			return string(fmt.Appendf(b[:begin], "and %d more", len(list)-i))
		}
		b = append(b, '\n')
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}

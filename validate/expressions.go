package validate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/policies/expression"
)

// ExpressionsRule is the key of the section that this file judges. The name of an
// expression is its check.
const ExpressionsRule = "expressions"

// Request is what expressions can read beside the workload. What a front end does
// not know it leaves out: a rule that reads it is then not judged, and says so.
type Request struct {
	// Object and OldObject are the JSON that the workload, and the one before the
	// update, were read from.
	Object, OldObject []byte
	// Admission is the request itself. Nil: nobody knows who sends it.
	Admission func() *admissionv1.AdmissionRequest
	// Namespace is the namespace as the cluster has it. Nil: only its name and labels
	// are known.
	Namespace *corev1.Namespace
	// Context bounds the time of expressions. Nil: only their cost is bounded.
	Context context.Context
}

// ExpressionInput is what the expressions of policies are evaluated on.
type ExpressionInput struct {
	Workload *pod.Workload
	// Old is the workload before the update, nil for a creation.
	Old *pod.Workload
	Request
	// NamespaceName and NamespaceLabels are used where Request.Namespace is nil.
	NamespaceName   string
	NamespaceLabels map[string]string
	Facts           image.Facts
}

// Expressions evaluates the expressions of policies on one workload. It is for one
// goroutine.
//
// Limits are those of ValidatingAdmissionPolicy: the cost of one expression, and of
// those of one policy together. An expression that cannot be evaluated counts as
// false unless its onError says otherwise, since a rule that passes what it cannot
// judge is one to be got around.
type Expressions struct {
	in      ExpressionInput
	subject *expression.Subject
	decoded any // the object, once it was asked for
}

// NewExpressions makes Expressions of a workload.
func NewExpressions(in ExpressionInput) *Expressions {
	in.Context = contextOf(in.Context)
	e := &Expressions{in: in}
	e.subject = expression.NewSubject(expression.Facts{
		Template:  expression.Template{Metadata: in.Workload.Template, Spec: in.Workload.Spec},
		Object:    e.object,
		OldObject: e.oldObject,
		Request:   e.request,
		Namespace: e.namespace,
		Images:    e.image,
	})
	return e
}

func contextOf(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// NextPolicy is called before the expressions of each policy.
func (e *Expressions) NextPolicy() { e.subject.NextPolicy() }

// Judge is nil where the expression holds.
func (e *Expressions) Judge(s *policies.CompiledExpression) *pod.Finding {
	if unknown := e.unknown(s.Program.Reads); unknown != "" {
		return e.finding(s, pod.Finding{Unknown: true, Advisory: true, Message: "not judged: it reads " + unknown})
	}
	holds, err := e.subject.Holds(e.in.Context, s.Program)
	var missing *expression.MissingError
	switch {
	case errors.As(err, &missing):
		f := pod.Finding{Unknown: true, NoAnswer: true, Message: "it is not known whether the expression holds: " + missing.Error()}
		var why *image.Error
		if errors.As(err, &why) {
			f.NoAnswer = why.Reason.NoAnswer()
		}
		return e.finding(s, f)
	case err != nil:
		fix := "set the field that it reads, or have the policy ask with has() whether it is set"
		if expression.Exceeded(err) {
			fix = "have the policy make its expressions cheaper: look at fewer fields, and not in loops within loops"
		}
		return e.finding(s, pod.Finding{
			Unknown: true, Advisory: s.OnError == policies.ExpressionErrorWarn,
			Message: "the expression cannot be evaluated: " + oneLine(err), Fix: fix,
		})
	case holds:
		return nil
	}
	return e.finding(s, pod.Finding{Message: cmp.Or(e.subject.Message(), s.Message)})
}

// finding completes what is particular to a finding.
func (e *Expressions) finding(s *policies.CompiledExpression, f pod.Finding) *pod.Finding {
	f.Rule, f.Check, f.Fix = ExpressionsRule, s.Name, cmp.Or(f.Fix, s.Fix)
	e.locate(&f, s.Program.Reads)
	return &f
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// unknown names what an expression reads and this front end does not know.
func (e *Expressions) unknown(r expression.Reads) string {
	switch {
	case r.Object && e.in.Object == nil, r.OldObject && e.in.Old != nil && e.in.OldObject == nil:
		return "the object beside its pod template, which is not known here"
	case r.Caller && e.in.Admission == nil:
		return "of the request what is known at admission alone"
	case r.Namespace && e.in.Request.Namespace == nil:
		return "more of the namespace than its name and labels, which are all that is known here"
	}
	return ""
}

func (e *Expressions) object() (any, error) {
	if e.decoded != nil {
		return e.decoded, nil
	}
	object, err := pod.Object(e.in.Workload, e.in.Object)
	if err == nil {
		e.decoded = object
	}
	return object, err
}

func (e *Expressions) oldObject() (any, error) {
	if e.in.Old == nil {
		return nil, nil
	}
	return pod.Object(e.in.Old, e.in.OldObject)
}

// request is what follows from the object where there is no request.
func (e *Expressions) request() *admissionv1.AdmissionRequest {
	if e.in.Admission != nil {
		return e.in.Admission()
	}
	w := e.in.Workload
	kind := metav1.GroupVersionKind{Group: w.Kind.Group, Version: w.Kind.Version, Kind: w.Kind.Name}
	resource := metav1.GroupVersionResource{Group: w.Kind.Group, Version: w.Kind.Version, Resource: w.Kind.Resource}
	r := &admissionv1.AdmissionRequest{
		Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource,
		Name: w.Metadata.Name, Namespace: e.in.NamespaceName, Operation: admissionv1.Create,
	}
	if e.in.Old != nil {
		r.Operation = admissionv1.Update
	}
	return r
}

func (e *Expressions) namespace() *corev1.Namespace {
	if known := e.in.Request.Namespace; known != nil {
		return known
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.in.NamespaceName, Labels: e.in.NamespaceLabels}}
}

// image is what the facts say about an image. A container without one is filled in
// by somebody else, and is judged then.
func (e *Expressions) image(reference string) (*expression.Image, error) {
	if reference == "" {
		return &expression.Image{}, nil
	}
	ref, err := image.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	fact, known := e.in.Facts[reference]
	switch {
	case fact.Err != nil:
		return nil, fact.Err
	case !known || len(fact.Platforms) == 0:
		return nil, fmt.Errorf("no registry was asked about %q", reference)
	}
	i := &expression.Image{
		Reference: reference, Name: ref.Name(), Registry: ref.Registry(), Repository: ref.Repository(),
		Tag: ref.Tag(), Digest: cmp.Or(ref.Digest(), fact.Digest), Labels: commonLabels(fact.Platforms),
	}
	for _, p := range fact.Platforms {
		if p.UIDErr != nil {
			return nil, p.UIDErr
		}
		i.Platforms = append(i.Platforms, expression.Platform{
			OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, User: p.User, UID: p.UID,
			Env: environmentOf(p.Env), Labels: p.Labels,
		})
	}
	return i, nil
}

// commonLabels are those that all platforms have with the same value.
func commonLabels(platforms []image.Platform) map[string]string {
	labels := map[string]string{}
	for key, value := range platforms[0].Labels {
		labels[key] = value
	}
	for _, p := range platforms[1:] {
		for key, value := range labels {
			if other, ok := p.Labels[key]; !ok || other != value {
				delete(labels, key)
			}
		}
	}
	return labels
}

func environmentOf(env []string) map[string]string {
	values := make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	return values
}

// ExpressionNeeds are the image facts that an expression will ask for: those of
// every image of the workload, since which one it asks for only its run shows.
func ExpressionNeeds(w *pod.Workload, s *policies.CompiledExpression) []image.Need {
	if !s.Program.ImageFacts {
		return nil
	}
	var needs []image.Need
	for i := range w.Images() {
		needs = append(needs, image.Need{Image: *i.Reference, Config: true, UID: s.Program.Reads.UID})
	}
	return needs
}

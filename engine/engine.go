// Package engine decides about one workload: which policies apply, what their
// mutators change, what their checks find.
//
// It knows no transport and waits for nothing. A front end plans a review, gets
// the facts the plan needs from wherever it gets them, and asks for the verdict:
// the webhook, the command line and the audit scan can not judge differently,
// and a slow registry has one place to be slow in.
package engine

import (
	"time"

	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// Namespace is what a review needs to know of the workload's namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Review is one workload to decide about.
type Review struct {
	Workload *pod.Workload
	// Old is the workload before an update, nil for a new one.
	Old *pod.Workload
	// Subresource is that of the request, such as ephemeralcontainers.
	Subresource string
	Namespace   Namespace
	// Username is who asks for it, empty where nobody does.
	Username string
	// Now is the time by which exceptions have ended or not. Zero: none counts.
	Now time.Time
	// Request is what only expressions read.
	Request validate.Request
}

// Engine decides reviews. It is safe for concurrent use.
type Engine struct{ evaluator *security.Evaluator }

// New returns an Engine.
func New() (*Engine, error) {
	evaluator, err := security.NewEvaluator()
	if err != nil {
		return nil, err
	}
	return &Engine{evaluator: evaluator}, nil
}

// PodSecurity is the upstream evaluator, for upstream's own namespace admission.
func (e *Engine) PodSecurity() policy.Evaluator { return e.evaluator.Upstream() }

// Plan is a review together with the policies that match it.
type Plan struct {
	Review
	engine  *Engine
	matches []policies.Match
	set     *policies.Set
	// exceptions are those that select the workload; some may have ended.
	exceptions []*policies.CompiledException
	// sameTemplate marks an update that leaves the pod template as it was.
	sameTemplate bool
}

// Target is what policies can select the workload by.
func (r Review) Target() policies.Target {
	t := policies.Target{
		Namespace:       r.Namespace.Name,
		NamespaceLabels: r.Namespace.Labels,
		Kind:            r.Workload.Kind.Name,
		Labels:          r.Workload.Metadata.Labels,
		Username:        r.Username,
	}
	if spec := r.Workload.Spec; spec != nil && spec.RuntimeClassName != nil {
		t.RuntimeClass = *spec.RuntimeClassName
	}
	return t
}

// Plan finds the policies that match. There is nothing to decide, and no policy
// matches, where the workload can make no pods or where an update leaves what it
// makes as it was.
func (e *Engine) Plan(r Review, set *policies.Set) *Plan {
	p := &Plan{Review: r, engine: e}
	p.sameTemplate = r.Old != nil && pod.SameTemplate(r.Old, r.Workload)
	if r.Workload.Spec == nil || p.sameTemplate && !mutate.Refreshed(r.Old, r.Workload) {
		return p
	}
	p.matches = set.Matching(nil, r.Target())
	if len(p.matches) > 0 {
		p.set, p.exceptions = set, Excepting(set, r.Namespace.Name, r.Workload)
	}
	return p
}

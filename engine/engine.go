// Package engine decides about one workload: which policies apply, what their
// mutators change, what their checks find.
//
// It knows no transport and waits for nothing. A front end plans a review, gets
// the facts the plan needs from wherever it gets them, and asks for the verdict:
// the webhook, the command line and the audit scan can not judge differently,
// and a slow registry has one place to be slow in.
package engine

import (
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
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
}

// Plan finds the policies that match. There is nothing to decide, and no policy
// matches, where the workload can make no pods or where an update leaves what it
// makes as it was.
func (e *Engine) Plan(r Review, set *policies.Set) *Plan {
	p := &Plan{Review: r, engine: e}
	if r.Workload.Spec == nil || r.Old != nil && pod.SameTemplate(r.Old, r.Workload) && !mutate.Refreshed(r.Old, r.Workload) {
		return p
	}
	p.matches = set.Matching(nil, policies.Target{
		Namespace:       r.Namespace.Name,
		NamespaceLabels: r.Namespace.Labels,
		Kind:            r.Workload.Kind.Name,
		Labels:          r.Workload.Metadata.Labels,
	})
	return p
}

// MutationNeeds are the image facts that Mutate will ask for: a policy that does
// not enforce its mutator asks no registry.
func (p *Plan) MutationNeeds() []image.Need {
	enforced := false
	p.eachMutator(func(_ policies.Match, mode policies.Mode) {
		enforced = enforced || mode == policies.ModeEnforce
	})
	if !enforced {
		return nil
	}
	return mutate.DigestNeeds(p.scope())
}

// Mutate carries out the mutators of all matching policies, in the order of the
// policies' names, and changes the workload. A policy that does not enforce its
// mutator changes nothing and says what it would change.
func (p *Plan) Mutate(facts image.Facts) Verdict {
	var v Verdict
	var r mutate.Recorder
	scope := p.scope()
	p.eachMutator(func(m policies.Match, mode policies.Mode) {
		if mode == policies.ModeEnforce {
			v.add(m, mode, mutate.Digests(&r, scope, facts))
		}
	})
	// Who only watches sees what those that enforce have left.
	p.eachMutator(func(m policies.Match, mode policies.Mode) {
		if mode != policies.ModeEnforce {
			v.add(m, mode, mutate.Unpinned(scope))
		}
	})
	v.Edits = r.Edits()
	return v.strictest()
}

// eachMutator visits the policies that may change the workload, by name, with
// the mode of their mutator.
func (p *Plan) eachMutator(visit func(m policies.Match, mode policies.Mode)) {
	for _, m := range p.matches {
		if d := m.Policy.Digests; d != nil && p.mutable(d) {
			visit(m, m.ModeOf(d.Mode))
		}
	}
}

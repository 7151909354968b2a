package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// brokenGlass is what the status of policies says, by their names.
type brokenGlass map[string][]policies.BrokenGlass

// glassOf reads the status of policies.
func glassOf(list []*policies.PodPolicy) brokenGlass {
	all := brokenGlass{}
	for _, p := range list {
		if len(p.Status.BreakGlass) > 0 {
			all[p.Name] = p.Status.BreakGlass
		}
	}
	return all
}

// version is the same as long as the same is open.
func (b brokenGlass) version(now time.Time) string {
	var text strings.Builder
	for _, policy := range slices.Sorted(maps.Keys(b)) {
		for _, g := range b[policy] {
			fmt.Fprintf(&text, "%q %q %q %s %v;", policy, g.Namespace, g.Reason, g.Until, now.Before(g.Until.Time))
		}
	}
	return text.String()
}

// glassNotes tells of findings that deny what somebody got past them, or could. An
// object that asks for passing is not passed by silently, whoever looks at it.
type glassNotes struct {
	judgement
	reason string
	asked  bool
	// open is set where somebody has passed all policies that deny.
	open bool
}

func newGlassNotes(j judgement) glassNotes {
	n := glassNotes{judgement: j}
	if n.reason, n.asked = j.plan.BreakGlass(); !n.asked {
		return n
	}
	enforcing := append(slices.Clone(j.mutation.Enforcing), j.validation.Enforcing...)
	n.open = !slices.ContainsFunc(enforcing, func(policy string) bool {
		_, open := n.use(policy)
		return !open
	})
	return n
}

// use is the one that the object lives by, nil for none, and whether it is open.
func (n glassNotes) use(policy string) (*engine.Glass, bool) {
	settings := n.plan.BreakGlassOf(policy)
	if settings == nil {
		return nil, false
	}
	g := policies.FindBrokenGlass(n.glass[policy], n.plan.Namespace.Name, n.reason)
	if g == nil {
		return nil, false
	}
	ends := g.Ends(settings)
	return &engine.Glass{User: g.User, Reason: g.Reason, Until: ends}, n.now.Before(ends)
}

// note changes the result that a finding has.
func (n glassNotes) note(r *report.Result, f engine.Finding) {
	if !n.asked || r.Result != report.Fail {
		return
	}
	settings := n.plan.BreakGlassOf(f.Policy)
	if settings == nil {
		return
	}
	used, open := n.use(f.Policy)
	switch {
	case open && n.open:
		r.Result, r.Message = report.Warn, used.String()+": "+r.Message
	case used != nil && !open:
		r.Message = used.String() + ", which is over: " + r.Message
	case policies.ReasonProblem(n.reason) != "":
		r.Message += "; break-glass: the annotation " + engine.BreakGlassAnnotation + " " + policies.ReasonProblem(n.reason)
	default:
		r.Message += fmt.Sprintf("; break-glass: refused all the same, unless a member of %s applies it, for whom it passes for %s",
			strings.Join(settings.Groups, " or "), settings.MaxDuration)
	}
}

package policies

import (
	"cmp"
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// Set is every policy in force, compiled once and read by many: it never changes, so any number of goroutines may use it. A change of
// policies is a new Set. The zero value holds no policy.
//
// +kubebuilder:object:generate=false
type Set struct {
	policies []*Compiled // by name
	// Positions in policies, ascending. Policies that select namespaces by exact name alone are found through the name, so that a policy
	// for each of many teams costs the requests of other teams nothing.
	named map[string][]int
	rest  []int
	memo  *namespaceMemo

	exceptions exceptionIndex
}

// Target is what a policy can select a workload by.
//
// +kubebuilder:object:generate=false
type Target struct {
	// Namespace is the name of the workload's namespace.
	Namespace string
	// NamespaceLabels are the labels of that namespace.
	NamespaceLabels map[string]string
	// Kind is the workload's kind, such as Deployment.
	Kind string
	// Labels are the labels of the workload itself, not of its pod template.
	Labels map[string]string
	// Username is who asks for it; empty where nobody does.
	Username string
	// RuntimeClass is that of its pods; empty for the default one.
	RuntimeClass string
}

// Match is a policy that applies to a workload, with the mode it has in that workload's namespace.
//
// +kubebuilder:object:generate=false
type Match struct {
	Policy *Compiled
	// Mode is the policy's mode, or that of the first of its modeOverrides that names the namespace. A rule's own mode is not
	// looked at: see ModeOf.
	Mode Mode

	overridden bool
}

// ModeOf is the mode of one rule of the policy, given the mode that the rule sets for itself, or nil. A rule's own mode stands in for the
// policy's. Where a modeOverride names the namespace it caps every rule: the milder of the two counts. So an override can be trusted to
// soften a policy for a namespace as a whole, and never makes a rule stricter than the rule itself says.
func (m Match) ModeOf(rule *Mode) Mode {
	if rule == nil || m.overridden && rule.StricterThan(m.Mode) {
		return m.Mode
	}
	return *rule
}

// Len is the number of policies.
func (s *Set) Len() int { return len(s.policies) }

// AsksRegistries tells whether a policy has a rule whose answer may need a registry.
func (s *Set) AsksRegistries() bool {
	return slices.ContainsFunc(s.policies, func(c *Compiled) bool {
		return c.Digests != nil || c.Probes != nil || c.Logging != nil || c.Hardening != nil || c.RootUser != nil || c.LoggingRequirement != nil ||
			slices.ContainsFunc(c.Expressions, func(e CompiledExpression) bool { return e.Program.ImageFacts })
	})
}

// ReadsObject tells whether an expression of a policy reads more of an object than its pod template.
func (s *Set) ReadsObject() bool { return slices.ContainsFunc(s.policies, (*Compiled).readsObject) }

// ReadsObjectOf tells the same of the policies that apply to t.
func (s *Set) ReadsObjectOf(t Target) bool {
	return s.ReadsObject() && slices.ContainsFunc(s.Matching(nil, t), func(m Match) bool { return m.Policy.readsObject() })
}

func (c *Compiled) readsObject() bool {
	return slices.ContainsFunc(c.Expressions, func(e CompiledExpression) bool { return e.Program.Reads.Object })
}

// Matching appends the policies that apply to t to dst, by name, and returns it, as append does. With room in dst nothing is allocated.
func (s *Set) Matching(dst []Match, t Target) []Match {
	if len(s.rest) >= memoFrom {
		selecting := s.memo.selecting(s, t)
		for i, position := range selecting {
			dst = s.appendMatch(dst, t, int(position), len(selecting)-i)
		}
		return dst
	}
	left := len(s.named[t.Namespace]) + len(s.rest)
	for position := range s.candidates(t.Namespace) {
		if s.policies[position].scope.containsNamespace(t) {
			dst = s.appendMatch(dst, t, position, left)
		}
		left--
	}
	return dst
}

// appendMatch appends the policy at a position if it applies to t, of whose namespace it is known that it does. The policies left to look at
// are what it makes room for.
func (s *Set) appendMatch(dst []Match, t Target, position, left int) []Match {
	policy := s.policies[position]
	if !policy.scope.containsWorkload(t) {
		return dst
	}
	if dst == nil {
		dst = make([]Match, 0, left)
	}
	return append(dst, policy.match(t.Namespace))
}

// candidates are the positions of the policies that may select a namespace, ascending.
func (s *Set) candidates(namespace string) iter.Seq[int] {
	return func(yield func(int) bool) {
		named, rest := s.named[namespace], s.rest
		for len(named)+len(rest) > 0 {
			next := &rest
			if len(rest) == 0 || len(named) > 0 && named[0] < rest[0] {
				next = &named
			}
			position := (*next)[0]
			*next = (*next)[1:]
			if !yield(position) {
				return
			}
		}
	}
}

// newSet sorts policies by name and indexes them.
func newSet(policies []*Compiled) *Set {
	slices.SortFunc(policies, func(a, b *Compiled) int { return cmp.Compare(a.Name, b.Name) })
	set := &Set{policies: policies, named: map[string][]int{}, memo: &namespaceMemo{}}
	for i, policy := range policies {
		if !policy.scope.exact() {
			set.rest = append(set.rest, i)
			continue
		}
		for _, namespace := range policy.scope.namespaces {
			set.named[namespace.text] = append(set.named[namespace.text], i)
		}
	}
	return set
}

// scope is spec.match with its strings turned into types.
type scope struct {
	namespaces []Glob // empty: all
	excluded   []Glob
	namespace  labels.Selector // nil: all
	object     labels.Selector // nil: all
	kinds      []WorkloadKind  // empty: all

	excludedUsers          []string
	excludedRuntimeClasses []string
}

// exact tells whether the scope names every namespace it covers.
func (s *scope) exact() bool {
	return len(s.namespaces) > 0 && !slices.ContainsFunc(s.namespaces, func(g Glob) bool { return !g.Exact() })
}

// containsNamespace tells whether the scope selects the namespace of t, by its name and its labels alone: see namespaceMemo.
func (s *scope) containsNamespace(t Target) bool {
	switch {
	case len(s.namespaces) > 0 && !anyMatches(s.namespaces, t.Namespace):
		return false
	case anyMatches(s.excluded, t.Namespace):
		return false
	}
	return s.namespace == nil || s.namespace.Matches(labels.Set(t.NamespaceLabels))
}

// containsWorkload tells whether the scope selects t by everything else.
func (s *scope) containsWorkload(t Target) bool {
	switch {
	case len(s.kinds) > 0 && !slices.Contains(s.kinds, WorkloadKind(t.Kind)):
		return false
	case t.Username != "" && slices.Contains(s.excludedUsers, t.Username):
		return false
	case t.RuntimeClass != "" && slices.Contains(s.excludedRuntimeClasses, t.RuntimeClass):
		return false
	}
	return s.object == nil || s.object.Matches(labels.Set(t.Labels))
}

// match is the policy as it stands in a namespace.
func (c *Compiled) match(namespace string) Match {
	for _, override := range c.overrides {
		if anyMatches(override.namespaces, namespace) {
			return Match{Policy: c, Mode: override.mode, overridden: true}
		}
	}
	return Match{Policy: c, Mode: c.mode}
}

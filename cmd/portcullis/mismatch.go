package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/policies"
)

// criteria are the parts of spec.match, each alone. It is never changed.
var criteria = []struct {
	alone  func(all policies.MatchSpec) policies.MatchSpec
	reason func(all policies.MatchSpec, t policies.Target) string
}{
	{
		func(m policies.MatchSpec) policies.MatchSpec { return policies.MatchSpec{Namespaces: m.Namespaces} },
		func(m policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("namespace %q is none of namespaces %s", t.Namespace, listed(m.Namespaces))
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec {
			return policies.MatchSpec{ExcludeNamespaces: m.ExcludeNamespaces}
		},
		func(m policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("namespace %q is one of excludeNamespaces %s", t.Namespace, listed(m.ExcludeNamespaces))
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec {
			return policies.MatchSpec{ExcludeUsernames: m.ExcludeUsernames}
		},
		func(m policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("user %q is one of excludeUsernames %q", t.Username, m.ExcludeUsernames)
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec {
			return policies.MatchSpec{ExcludeRuntimeClasses: m.ExcludeRuntimeClasses}
		},
		func(m policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("runtime class %q is one of excludeRuntimeClasses %s", t.RuntimeClass, listed(m.ExcludeRuntimeClasses))
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec {
			return policies.MatchSpec{NamespaceSelector: m.NamespaceSelector}
		},
		func(_ policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("namespaceSelector does not select the labels of namespace %q", t.Namespace)
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec {
			return policies.MatchSpec{ObjectSelector: m.ObjectSelector}
		},
		func(policies.MatchSpec, policies.Target) string {
			return "objectSelector does not select the labels of the object"
		},
	},
	{
		func(m policies.MatchSpec) policies.MatchSpec { return policies.MatchSpec{Kinds: m.Kinds} },
		func(m policies.MatchSpec, t policies.Target) string {
			return fmt.Sprintf("%s is none of kinds %s", t.Kind, listed(m.Kinds))
		},
	},
}

func listed[T ~string](values []T) string {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = string(v)
	}
	return "[" + strings.Join(text, ", ") + "]"
}

// mismatch is why a policy does not apply to a target, empty where it does: all
// the criteria that do not hold, as the compiled policy judges them.
func mismatch(p *policies.PodPolicy, t policies.Target) (string, error) {
	var reasons []string
	for _, c := range criteria {
		one := p.DeepCopy()
		one.Spec.Match = c.alone(p.Spec.Match)
		set, err := policies.Compile([]*policies.PodPolicy{one})
		if err != nil {
			return "", err
		}
		if len(set.Matching(nil, t)) == 0 {
			reasons = append(reasons, c.reason(p.Spec.Match, t))
		}
	}
	return strings.Join(slices.Compact(reasons), "; "), nil
}

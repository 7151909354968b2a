package report

import (
	"cmp"
	"slices"
)

// changeSum counts what one mutator of one policy changes.
type changeSum struct {
	Rule, Policy, Mode string
	Fields, Workloads  int
}

// note says that a change is not made.
func (s changeSum) note() string {
	if s.Mode == "Enforce" {
		return ""
	}
	return "would be made if the policy enforced it (" + plain(s.Mode) + ")"
}

// changeSums are by rule and policy.
func changeSums(all []Change) []changeSum {
	type mutator struct{ rule, policy, mode string }
	type about struct {
		mutator
		kind, namespace, name string
	}
	sums := map[mutator]*changeSum{}
	seen := map[about]bool{}
	for _, c := range all {
		m := mutator{c.Rule, c.Policy, c.Mode}
		if sums[m] == nil {
			sums[m] = &changeSum{Rule: c.Rule, Policy: c.Policy, Mode: c.Mode}
		}
		sums[m].Fields++
		if a := (about{m, c.Kind, c.Namespace, c.Name}); !seen[a] {
			seen[a] = true
			sums[m].Workloads++
		}
	}
	var list []changeSum
	for _, s := range sums {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b changeSum) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Mode, b.Mode))
	})
	return list
}

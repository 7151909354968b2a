package engine

import (
	"strings"

	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// Rule is a section of a policy that is in force for a workload.
type Rule struct {
	// Policy is the name of the policy, or Namespace/NAME for what the labels of
	// the namespace ask for.
	Policy string
	// Rule is the key of the section: podSecurity.
	Rule string
	Mode policies.Mode
}

// Rules are the sections that Mutate and Validate carry out, the policies by
// name: what has no finding of them has passed them, and what is in none was
// judged by nobody. A section of spec.mutate and one of spec.validate with the
// same key are listed once, with the stricter mode.
func (p *Plan) Rules() []Rule {
	var rules []Rule
	add := func(policy, rule string, mode policies.Mode) {
		for i, r := range rules {
			if r.Policy == policy && r.Rule == rule {
				if mode.StricterThan(r.Mode) {
					rules[i].Mode = mode
				}
				return
			}
		}
		rules = append(rules, Rule{policy, rule, mode})
	}
	p.eachMutator(func(u use) {
		if !u.skipped() {
			add(u.match.Policy.Name, u.rule, u.mode)
		}
	})
	honor := false
	for _, m := range p.matches {
		for _, c := range checks {
			if mode := c.mode(m, p.Workload); mode != "" {
				add(m.Policy.Name, c.rule, mode)
			}
		}
		honor = honor || m.Policy.PodSecurity != nil && m.Policy.PodSecurity.HonorLabels
	}
	if honor && labelled(p.Namespace.Labels) {
		add(p.labelPolicy(), validate.PodSecurityRule, policies.ModeEnforce)
	}
	return rules
}

// labelled reports whether a namespace has a label that pods are judged by.
func labelled(labels map[string]string) bool {
	for label := range labels {
		if strings.HasPrefix(label, "pod-security.kubernetes.io/") {
			return true
		}
	}
	return false
}

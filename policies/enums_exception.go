package policies

import "strings"

// RuleName is a section of spec.mutate or spec.validate, such as validate.podSecurity.
//
// +kubebuilder:validation:Enum=mutate.digests;mutate.probes;mutate.logging;mutate.hardening;validate.podSecurity;validate.rootUser;validate.digests;validate.registries;validate.probes;validate.logging;validate.expressions
type RuleName string

// The two parts that a RuleName begins with.
const (
	mutatePart   = "mutate."
	validatePart = "validate."
)

// RuleNames returns every section, the repairs first.
func RuleNames() []RuleName {
	return []RuleName{
		"mutate.digests", "mutate.probes", "mutate.logging", "mutate.hardening",
		"validate.podSecurity", "validate.rootUser", "validate.digests", "validate.registries", "validate.probes", "validate.logging",
		"validate.expressions",
	}
}

// key is the name without its first part, which is what findings carry.
func (r RuleName) key() string {
	_, key, _ := strings.Cut(string(r), ".")
	return key
}

// mutates tells a repair from a check.
func (r RuleName) mutates() bool { return strings.HasPrefix(string(r), mutatePart) }

// Rules counts the sections that the policy switches on.
func (c *Compiled) Rules() int {
	count := 0
	for _, rule := range RuleNames() {
		if c.has(rule) {
			count++
		}
	}
	if c.PodSecurity != nil && c.PodSecurity.Level == nil {
		count++ // it judges by the labels of namespaces, which know no exceptions
	}
	return count
}

// has tells whether the policy switches the rule on.
func (c *Compiled) has(rule RuleName) bool {
	switch rule {
	case "mutate.digests":
		return c.Digests != nil
	case "mutate.probes":
		return c.Probes != nil
	case "mutate.logging":
		return c.Logging != nil
	case "mutate.hardening":
		return c.Hardening != nil
	case "validate.podSecurity":
		return c.PodSecurity != nil && c.PodSecurity.Level != nil
	case "validate.rootUser":
		return c.RootUser != nil
	case "validate.digests":
		return c.DigestRequirement != nil
	case "validate.registries":
		return c.Registries != nil
	case "validate.probes":
		return c.ProbeRequirement != nil
	case "validate.logging":
		return c.LoggingRequirement != nil
	case "validate.expressions":
		return len(c.Expressions) > 0
	}
	return false
}

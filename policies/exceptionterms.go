package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// ExceptionTerms are what an exception has to meet beside being valid: it must be where exceptions count, name policies and rules that there
// are, not have ended and not last longer than they allow. `kubectl apply` and the command line hold exceptions against the same terms.
//
// +kubebuilder:object:generate=false
type ExceptionTerms struct {
	// Namespaces are those that exceptions count in. Empty: DefaultExceptionNamespace alone.
	Namespaces []string
	// Policies are those in force.
	Policies []*Compiled
	// Now is the time by which exceptions have ended or not. Zero: neither that nor how long they last is looked at.
	Now time.Time
	// Ended lets exceptions be that have ended, which do nothing: for who starts again with the files that he has started with before.
	Ended bool
}

// Check returns which of the terms e does not meet. What is wrong with e by itself is for ValidateException.
func (t ExceptionTerms) Check(e *PolicyException) Problems {
	b := &builder{}
	namespaces := t.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{DefaultExceptionNamespace}
	}
	if e.Namespace != "" && !slices.Contains(namespaces, e.Namespace) {
		b.refuse(field.NewPath("metadata", "namespace"), "exceptions in %s do not count; create it in %s, or have the admin add the namespace to --exception-namespaces",
			quote(e.Namespace), either(namespaces))
	}
	named := t.named(b, e.Spec.Policies)
	t.checkRules(b, e.Spec.Rules, named)
	if !t.Now.IsZero() && !e.Spec.ExpiresAt.IsZero() {
		t.checkEnd(b, e, named)
	}
	return b.problems
}

// named finds the policies by name.
func (t ExceptionTerms) named(b *builder, names []string) []*Compiled {
	path := field.NewPath("spec", "policies")
	var named []*Compiled
	for i, name := range names {
		found := slices.IndexFunc(t.Policies, func(c *Compiled) bool { return c.Name == name })
		switch {
		case found < 0:
			b.refuse(path.Index(i), "%s is not a policy in force; %s", quote(name), t.suggestPolicy(name))
		case !t.Policies[found].exceptionsAllowed:
			b.refuse(path.Index(i), "%s allows no exceptions (spec.exceptions.allowed is false)", quote(name))
		default:
			named = append(named, t.Policies[found])
		}
	}
	return named
}

func (t ExceptionTerms) suggestPolicy(name string) string {
	var known []string
	for _, c := range t.Policies {
		if c.Name != "" {
			known = append(known, c.Name)
		}
	}
	const longest = 10
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 || len(known) > longest {
		return "create the policy first"
	}
	return "there are " + strings.Join(known, ", ")
}

// checkRules refuses a rule that none of the policies has, and a check that none of them makes: an exception from it does nothing, and was meant
// for another one.
func (t ExceptionTerms) checkRules(b *builder, rules []ExceptionRule, named []*Compiled) {
	if len(named) == 0 {
		return
	}
	path := field.NewPath("spec", "rules")
	for i, r := range rules {
		if !slices.Contains(RuleNames(), r.Rule) {
			continue
		}
		if !slices.ContainsFunc(named, func(c *Compiled) bool { return c.has(r.Rule) }) {
			b.refuse(path.Index(i).Child("rule"), "%s is a rule of none of the policies named; %s", quote(string(r.Rule)), adviseRules(named))
			continue
		}
		if r.Rule != "validate.podSecurity" {
			continue
		}
		for j, id := range r.Checks {
			if reason := whyNoneEvaluates(id, named); reason != "" {
				b.refuse(path.Index(i).Child("checks").Index(j), "%s is not evaluated: %s", quote(id), reason)
			}
		}
	}
}

// adviseRules tells which rules policies have that an exception can name.
func adviseRules(named []*Compiled) string {
	var rules []RuleName
	for _, rule := range RuleNames() {
		if slices.ContainsFunc(named, func(c *Compiled) bool { return c.has(rule) }) {
			rules = append(rules, rule)
		}
	}
	if len(rules) == 0 {
		return "they have none that an exception could name"
	}
	return "use " + either(rules)
}

// whyNoneEvaluates is empty for a check that one of the policies evaluates, and for one that does not exist.
func whyNoneEvaluates(id string, named []*Compiled) string {
	all := pspolicy.DefaultChecks()
	found := slices.IndexFunc(all, func(c pspolicy.Check) bool { return string(c.ID) == id })
	if found < 0 {
		return ""
	}
	reason := ""
	for _, c := range named {
		if c.PodSecurity == nil || c.PodSecurity.Level == nil {
			continue
		}
		if reason = whyNotEvaluated(all[found], all, *c.PodSecurity.Level); reason == "" {
			return ""
		}
	}
	return reason
}

func (t ExceptionTerms) checkEnd(b *builder, e *PolicyException, named []*Compiled) {
	path, end := field.NewPath("spec", "expiresAt"), e.Spec.ExpiresAt.Time
	if problem, ended := e.Ended(t.Now); ended {
		if !t.Ended {
			b.problems = append(b.problems, problem)
		}
		return
	}
	created := e.CreationTimestamp.Time
	if created.IsZero() {
		created = t.Now
	}
	for _, c := range named {
		last := created.Add(c.maxException).Truncate(time.Second)
		if !end.After(last) {
			continue
		}
		advice := fmt.Sprintf("write %s or earlier", timeText(last))
		if !last.After(t.Now) {
			advice = "create another exception, and delete this one"
		}
		b.refuse(path, "%s is later than policy %s allows, %s after its creation; %s", timeText(end), quote(c.Name), durationText(c.maxException), advice)
	}
}

// Ended tells whether the exception has ended by its own expiresAt, in the words in which it is refused then.
func (e *PolicyException) Ended(now time.Time) (Problem, bool) {
	end := e.Spec.ExpiresAt.Time
	return Problem{
		Field:   "spec.expiresAt",
		Message: timeText(end) + " has passed, so that it would cover nothing; write a later time, or delete the exception",
	}, !now.Before(end)
}

// timeText is a time as it is written in an exception.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// durationText leaves out the parts that are 0: 720h and not 720h0m0s.
func durationText(d time.Duration) string {
	text := d.String()
	text = strings.TrimSuffix(text, "m0s")
	if text != d.String() {
		text += "m"
	}
	if hours, found := strings.CutSuffix(text, "h0m"); found {
		text = hours + "h"
	}
	return text
}

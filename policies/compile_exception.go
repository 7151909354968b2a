package policies

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// ValidateException returns everything that is wrong with e by itself. What the policies in force and the time say is ExceptionTerms.Check.
func ValidateException(e *PolicyException) Problems {
	_, problems := compileException(e, nil)
	return problems
}

// compileException shares memory with e. What it returns is of use only if there are no problems.
func compileException(e *PolicyException, inForce []*Compiled) (*CompiledException, Problems) {
	b := &builder{}
	b.name(&e.ObjectMeta)
	if e.Namespace == "" {
		b.refuse(field.NewPath("metadata", "namespace"), "is missing; an exception counts in the namespaces only that the admin lists, by default %s", DefaultExceptionNamespace)
	}
	path, spec := field.NewPath("spec"), &e.Spec
	b.required(path.Child("reason"), spec.Reason, "say why the workloads cannot be what the policy asks for", 1024)
	b.required(path.Child("owner"), spec.Owner, "name the person or team that answers for the exception", 253)
	b.atMostBytes(path.Child("ticket"), spec.Ticket, 1024)
	b.expiry(path.Child("expiresAt"), e)
	b.policyNames(path.Child("policies"), spec.Policies)
	c := &CompiledException{
		Namespace: e.Namespace, Name: e.Name, Owner: spec.Owner, Reason: spec.Reason, Ticket: spec.Ticket,
		ends: map[string]time.Time{}, checks: map[string][]string{},
	}
	b.exceptionMatch(c, path.Child("match"), &spec.Match)
	b.exceptionRules(c, path.Child("rules"), spec.Rules)
	for _, policy := range inForce {
		if policy.exceptionsAllowed && slices.Contains(spec.Policies, policy.Name) {
			c.ends[policy.Name] = e.end(policy)
		}
	}
	return c, b.problems
}

// end is when the exception ends for a policy. One that was never stored has no creation that a duration could count from.
func (e *PolicyException) end(policy *Compiled) time.Time {
	end := e.Spec.ExpiresAt.Time
	if !e.CreationTimestamp.IsZero() {
		if last := e.CreationTimestamp.Add(policy.maxException); last.Before(end) {
			return last
		}
	}
	return end
}

// required refuses a text that says nothing, and one that is too long.
func (b *builder) required(path *field.Path, text, advice string, longest int) {
	if strings.TrimSpace(text) == "" {
		b.refuse(path, "is missing; %s", advice)
	}
	b.atMostBytes(path, text, longest)
}

func (b *builder) atMostBytes(path *field.Path, text string, longest int) {
	if runes := len([]rune(text)); runes > longest {
		b.refuse(path, "has %d characters; %d is the limit", runes, longest)
	}
}

func (b *builder) expiry(path *field.Path, e *PolicyException) {
	switch end := e.Spec.ExpiresAt; {
	case end.IsZero():
		b.refuse(path, "is missing; every exception ends: write a time such as 2026-12-31T23:59:59Z")
	case end.Nanosecond() != 0:
		b.refuse(path, "%s has parts of a second; write whole seconds", end.UTC().Format(time.RFC3339Nano))
	}
}

func (b *builder) policyNames(path *field.Path, names []string) {
	if len(names) == 0 {
		b.refuse(path, "is empty; name the policies")
	}
	if !b.atMost(path, len(names), 64) {
		return
	}
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			b.refuse(path.Index(i), "%s is listed twice", quote(name))
		case strings.HasPrefix(name, "Namespace/"):
			b.refuse(path.Index(i), "%s stands for the Pod Security labels of a namespace, and they know no exceptions; lower the label", quote(name))
		case strings.Contains(name, "*"):
			b.refuse(path.Index(i), "%s is no name; policies are named one by one", quote(name))
		case len(validation.IsDNS1123Subdomain(name)) > 0:
			b.refuse(path.Index(i), "%s is not the name of a policy; "+nameForm, quote(name))
		}
	}
}

func (b *builder) exceptionMatch(c *CompiledException, path *field.Path, match *ExceptionMatch) {
	if len(match.Namespaces) == 0 {
		b.refuse(path.Child("namespaces"), "is empty; name the namespaces of the workloads")
	}
	c.namespaces = b.globs(path.Child("namespaces"), match.Namespaces)
	c.kinds = b.kinds(path.Child("kinds"), match.Kinds)
	c.names = b.workloadNames(path.Child("names"), match.Names)
	c.pods = b.selector(path.Child("podSelector"), match.PodSelector)
	c.containers = b.globs(path.Child("containers"), match.Containers)
	c.images = b.images(path.Child("images"), match.Images)
	everywhere := slices.ContainsFunc(c.namespaces, func(g Glob) bool { return g.Covers(Glob{text: "*"}) })
	if everywhere && len(match.Names) == 0 && match.PodSelector == nil && !c.Narrow() {
		b.refuse(path, "covers every workload; change the policy instead, or add names, podSelector, containers or images")
	}
	has := func(kind WorkloadKind) bool { return slices.Contains(match.Kinds, kind) }
	makesMore := !has(KindPod) || has(KindDeployment) && !has(KindReplicaSet) || has(KindCronJob) && !has(KindJob)
	if len(match.Kinds) > 0 && len(match.Names) == 0 && makesMore {
		b.refuse(path.Child("kinds"), "listing %s does not cover what the workloads make; add Pod, ReplicaSet for Deployment and Job for CronJob, or name the workloads in names", quoteAll(match.Kinds))
	}
}

func (b *builder) workloadNames(path *field.Path, names []string) []string {
	if !b.atMost(path, len(names), 256) {
		return nil
	}
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			b.refuse(path.Index(i), "%s is listed twice", quote(name))
		case strings.Contains(name, "*"):
			b.refuse(path.Index(i), "%s is no name; workloads are named one by one, and the Pods that they make are covered with them", quote(name))
		case len(validation.IsDNS1123Subdomain(name)) > 0:
			b.refuse(path.Index(i), "%s is not the name of a workload; "+nameForm, quote(name))
		}
	}
	return names
}

func (b *builder) exceptionRules(c *CompiledException, path *field.Path, rules []ExceptionRule) {
	if len(rules) == 0 {
		b.refuse(path, "is empty; name the rules that do not count")
	}
	if !b.atMost(path, len(rules), 16) {
		return
	}
	for i, r := range rules {
		at := path.Index(i)
		switch {
		case slices.ContainsFunc(rules[:i], func(other ExceptionRule) bool { return other.Rule == r.Rule }):
			b.refuse(at, "%s is listed twice", quote(string(r.Rule)))
		case !slices.Contains(RuleNames(), r.Rule):
			b.refuse(at.Child("rule"), "%s is not a rule; %s", quote(string(r.Rule)), suggestRule(string(r.Rule)))
		case r.Rule.mutates():
			b.exceptedMutator(c, at, r)
		default:
			b.exceptedChecks(at.Child("checks"), r)
			c.checks[r.Rule.key()] = r.Checks
		}
	}
}

func (b *builder) exceptedMutator(c *CompiledException, path *field.Path, r ExceptionRule) {
	c.mutators = append(c.mutators, r.Rule.key())
	if len(r.Checks) > 0 {
		b.refuse(path.Child("checks"), "a repair has no checks such as %s; leave them out", quoteAll(r.Checks))
	}
	if c.Narrow() {
		b.refuse(path.Child("rule"), "%s is a repair of a workload as a whole; leave match.containers and match.images out, or make two exceptions", quote(string(r.Rule)))
	}
}

func suggestRule(name string) string {
	var same []RuleName
	for _, known := range RuleNames() {
		if known.key() == name {
			same = append(same, known)
		}
	}
	if len(same) > 0 {
		return "use " + either(same)
	}
	known := make([]string, len(RuleNames()))
	for i, rule := range RuleNames() {
		known[i] = string(rule)
	}
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "use " + either(known)
}

func (b *builder) exceptedChecks(path *field.Path, r ExceptionRule) {
	if !b.atMost(path, len(r.Checks), 32) {
		return
	}
	known := checksOf(r.Rule)
	for i, id := range r.Checks {
		if slices.Contains(r.Checks[:i], id) {
			b.refuse(path.Index(i), "%s is listed twice", quote(id))
			continue
		}
		if slices.Contains(known, id) || r.Rule == "validate.expressions" && expressionName.MatchString(id) {
			continue
		}
		advice := "use the name of an expression"
		if len(known) > 0 {
			advice = "use " + either(known)
		}
		if near := nearest(id, known); near != "" {
			advice = "did you mean " + near + "?"
		}
		b.refuse(path.Index(i), "%s is not a check of %s; %s", quote(id), r.Rule, advice)
	}
}

// checksOf are the ids that findings of a rule carry. Those of podSecurity are upstream's, and a test of package validate compares the others
// with what the checks say. Those of expressions are the admin's own.
func checksOf(rule RuleName) []string {
	switch rule {
	case "validate.podSecurity":
		var ids []string
		for _, check := range pspolicy.DefaultChecks() {
			ids = append(ids, string(check.ID))
		}
		slices.SortFunc(ids, cmp.Compare)
		return ids
	case "validate.rootUser":
		return []string{"root", "neverStarts", "unknown"}
	case "validate.digests":
		return []string{"required", "forbiddenTag"}
	case "validate.registries":
		return []string{"notAllowed", "denied"}
	case "validate.probes":
		return []string{"missing", "identical", "timeout", "livenessWithoutStartup"}
	case "validate.logging":
		return []string{"logDirectory", "redirect", "tailSidecar", "environment", "terminationMessagePolicy"}
	}
	return nil
}

// exceptions reads spec.exceptions of a policy.
func (b *builder) exceptions(c *Compiled, path *field.Path, settings *ExceptionSettings) {
	c.exceptionsAllowed = settings.Allowed == nil || *settings.Allowed
	c.maxException = defaultMaxException
	if settings.MaxDuration == nil {
		return
	}
	switch longest := settings.MaxDuration.Duration; {
	case longest <= 0:
		b.refuse(path.Child("maxDuration"), "%s lets no exception last; set allowed to false instead", quote(durationText(longest)))
	case longest%time.Second != 0:
		b.refuse(path.Child("maxDuration"), "%s has parts of a second; write whole seconds", quote(durationText(longest)))
	default:
		c.maxException = longest
	}
}

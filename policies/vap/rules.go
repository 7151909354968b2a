package vap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/policies/expression"
)

// containers are all containers of a pod.
var containers = admissionv1.Variable{
	Name: "containers",
	Expression: "variables.pod.spec.containers + variables.pod.spec.?initContainers.orValue([]) + " +
		"variables.pod.spec.?ephemeralContainers.orValue([])",
}

// references are all images to pull, those of volumes too. A container without an
// image gets it from somebody else, and is judged then.
var references = admissionv1.Variable{
	Name: "references",
	Expression: "variables.containers.filter(c, c.?image.orValue('') != '').map(c, c.image) + " +
		"variables.pod.spec.?volumes.orValue([]).filter(v, v.?image.?reference.orValue('') != '').map(v, v.image.reference)",
}

// podSecurity exports the level. Pods and templates part where templates only warn.
func (e *exporter) podSecurity(ps *policies.PodSecurity) {
	const rule = "podsecurity"
	if ps.NamespaceLabels == policies.NamespaceLabelsHonor {
		e.left("spec.validate.podSecurity.namespaceLabels: the labels of namespaces are for the API server's own PodSecurity admission, which is on by default")
	}
	if ps.Level == "" || ps.Level == psapi.LevelPrivileged {
		return
	}
	version, err := psapi.ParseVersion(ps.Version)
	if err != nil {
		return // a valid policy has none
	}
	body := body{variables: []admissionv1.Variable{containers}}
	ids, by := evaluated(psapi.LevelVersion{Level: ps.Level, Version: version})
	for _, id := range ids {
		body.validations = append(body.validations, e.control(ps, id, by[id])...)
	}
	same := func(m policies.Mode) policies.Mode { return m }
	if ps.Templates != policies.TemplatesWarn {
		e.variants(variant{rule, policies.WorkloadKinds(), same}, ps.Mode, body)
		return
	}
	e.variants(variant{rule, []policies.WorkloadKind{policies.KindPod}, same}, ps.Mode, body)
	e.variants(variant{rule + "-templates", policies.WorkloadKinds()[1:], func(m policies.Mode) policies.Mode {
		if m == policies.ModeEnforce {
			return policies.ModeWarn
		}
		return m
	}}, ps.Mode, body)
}

// control is up to two validations: of the pod, and of its containers without the
// exempt ones.
func (e *exporter) control(ps *policies.PodSecurity, id pspolicy.CheckID, c control) []admissionv1.Validation {
	subject := fmt.Sprintf("PodPolicy %s: podSecurity/%s: ", e.policy.Name, id)
	var validations []admissionv1.Validation
	if c.pod != "" {
		validations = append(validations, admissionv1.Validation{Expression: c.pod, Message: subject + "the pod: " + c.message})
	}
	if c.container == "" {
		return validations
	}
	holds := c.container
	for _, exemption := range ps.Exemptions {
		if slices.Contains(exemption.Checks, string(id)) {
			// Asked last: to read an image costs more than most controls do.
			holds += " || " + exempts(exemption)
		}
	}
	return append(validations, admissionv1.Validation{
		Expression:        fmt.Sprintf("variables.containers.all(c, %s)", holds),
		Message:           subject + c.message,
		MessageExpression: fmt.Sprintf("%s + variables.containers.filter(c, !(%s)).map(c, c.name).join(', ') + %s", quote(subject+"containers "), holds, quote(": "+c.message)),
	})
}

// exempts is an expression for whether an exemption covers the container c.
func exempts(e policies.PodSecurityExemption) string {
	var parts []string
	if len(e.Containers) > 0 {
		parts = append(parts, "("+matchesGlobs("c.name", e.Containers)+")")
	}
	if len(e.Images) > 0 {
		// A reference that has no canonical name is exempt from nothing.
		parts = append(parts, fmt.Sprintf("has(c.image) && %s && %s.matches(%s)", wellWritten("c.image"), nameOf("c.image"), quote(patterns(e.Images))))
	}
	return "(" + strings.Join(parts, " && ") + ")"
}

// patternsAtOnce bounds the patterns in one regular expression. The cost of one is
// its length times that of the names, and each expression may have so much: with
// many patterns one after the other they are still enough for two hundred images.
const patternsAtOnce = 32

// registries judges references by their canonical names.
func registries(policy string, r *policies.Registries) body {
	b := body{variables: []admissionv1.Variable{containers, references, {
		Name: "names", Expression: fmt.Sprintf("variables.references.filter(r, %s).map(r, %s)", wellWritten("r"), nameOf("r")),
	}}}
	prefix := "PodPolicy " + policy + ": registries: "
	b.add(prefix, "variables.references", "!"+wellWritten("r"), "is not written as [registry/]repository[:tag][@sha256:digest]")
	for chunk := range slices.Chunk(r.Deny, patternsAtOnce) {
		b.add(prefix, "variables.names", fmt.Sprintf("r.matches(%s)", quote(patterns(chunk))), "comes from where the policy denies it")
	}
	if len(r.Allow) == 0 {
		return b
	}
	// What is left over by each part of the patterns goes to the next.
	rest := "names"
	for chunk := range slices.Chunk(r.Allow, patternsAtOnce) {
		next := fmt.Sprintf("rest%d", len(b.variables))
		b.variables = append(b.variables, admissionv1.Variable{
			Name: next, Expression: fmt.Sprintf("variables.%s.filter(r, !r.matches(%s))", rest, quote(patterns(chunk))),
		})
		rest = next
	}
	b.add(prefix, "variables."+rest, "true", "comes from where the policy does not allow it")
	return b
}

// digests judges references by their ends.
func digests(policy string, d *policies.DigestRequirement) body {
	b := body{variables: []admissionv1.Variable{containers, references}}
	prefix := "PodPolicy " + policy + ": digests: "
	if d.Require == nil || *d.Require {
		b.add(prefix, "variables.references", "!r.matches('@sha256:[a-f0-9]{64}$')", "has no digest")
	}
	if len(d.ForbidTags) > 0 {
		tags := make([]string, len(d.ForbidTags))
		for i, tag := range d.ForbidTags {
			tags[i] = regexp.QuoteMeta(tag)
		}
		bad := fmt.Sprintf("r.matches(%s)", quote(":("+strings.Join(tags, "|")+")(@.*)?$"))
		if slices.Contains(d.ForbidTags, "latest") {
			bad += " || !r.contains('@') && !r.matches(':[^/]*$')" // no tag means latest
		}
		b.add(prefix, "variables.references", bad, "has a tag that the policy forbids")
	}
	return b
}

// add refuses images r of a list for which bad is true.
func (b *body) add(prefix, list, bad, message string) {
	b.validations = append(b.validations, admissionv1.Validation{
		Expression:        fmt.Sprintf("!%s.exists(r, %s)", list, bad),
		Message:           prefix + "an image " + message,
		MessageExpression: fmt.Sprintf("%s + %s.filter(r, %s).join(', ') + %s", quote(prefix), list, bad, quote(" "+message)),
	})
}

// expression exports an entry that reads no image.
func (e *exporter) expression(i int, entry *policies.Expression) {
	at := fmt.Sprintf("spec.validate.expressions[%d]: %s: ", i, entry.Name)
	program, faults := expression.Compile(entry.Source())
	if len(faults) > 0 {
		return // a valid policy has none
	}
	if program.ImageFacts {
		e.left("%sit reads images, which the API server does not", at)
		return
	}
	// A variable of the entry may have the name of ours.
	name := podVariable
	for slices.ContainsFunc(entry.Variables, func(v policies.ExpressionVariable) bool { return v.Name == name }) {
		name += "_"
	}
	var failed error
	replace := func(text string) string {
		replaced, err := expression.ReplacePod(text, "variables."+name)
		if err != nil {
			failed = err
		}
		return replaced
	}
	b := body{pod: name, ignoreErrors: entry.OnError == policies.ExpressionErrorWarn}
	for _, v := range entry.Variables {
		b.variables = append(b.variables, admissionv1.Variable{Name: v.Name, Expression: replace(v.Expression)})
	}
	message := entry.Message
	if message == "" {
		message = "the expression is false: " + strings.Join(strings.Fields(entry.Expression), " ")
	}
	if entry.Fix != "" {
		message += ". Fix: " + entry.Fix
	}
	prefix := fmt.Sprintf("PodPolicy %s: expressions/%s: ", e.policy.Name, entry.Name)
	// There fields have no types: what is known to be true or false here has to be
	// made so there.
	validation := admissionv1.Validation{Expression: "(" + replace(entry.Expression) + ") == true", Message: prefix + message}
	if entry.MessageExpression != "" {
		validation.MessageExpression = quote(prefix) + " + (" + replace(entry.MessageExpression) + ")"
	}
	b.validations = []admissionv1.Validation{validation}
	if failed != nil {
		e.left("%s%v", at, failed)
		return
	}
	if b.ignoreErrors {
		e.left("%sa workload that it cannot be evaluated on passes without a warning", at)
	}
	e.rule("expressions-"+entry.Name, entry.Mode, b)
}

package vap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

// Exported is one policy as the API server can enforce it.
type Exported struct {
	Policies []*admissionv1.ValidatingAdmissionPolicy
	Bindings []*admissionv1.ValidatingAdmissionPolicyBinding
	// Left are the parts of the policy that are not in them, or not as the webhook
	// has them, each a sentence without a full stop that begins with a field.
	Left []string
}

// Export translates a policy, which must be valid and have its defaults.
func Export(p *policies.PodPolicy) *Exported {
	e := &exporter{policy: p, out: &Exported{}}
	v := &p.Spec.Validate
	if v.PodSecurity != nil {
		e.podSecurity(v.PodSecurity)
	}
	if v.Registries != nil {
		e.rule("registries", v.Registries.Mode, registries(p.Name, v.Registries))
	}
	if v.Digests != nil {
		e.rule("digests", v.Digests.Mode, digests(p.Name, v.Digests))
	}
	for i := range v.Expressions {
		e.expression(i, &v.Expressions[i])
	}
	e.leftOut()
	return e.out
}

type exporter struct {
	policy *policies.PodPolicy
	out    *Exported
}

func (e *exporter) left(format string, args ...any) {
	e.out.Left = append(e.out.Left, fmt.Sprintf(format, args...))
}

// rule is what is exported of one section, in all its modes.
func (e *exporter) rule(name string, mode *policies.Mode, body body) {
	e.variants(variant{name: name, kinds: policies.WorkloadKinds(), mode: func(of policies.Mode) policies.Mode { return of }}, mode, body)
}

// body is what a rule judges.
type body struct {
	variables   []admissionv1.Variable
	validations []admissionv1.Validation
	// pod is the name of the variable for the pod template; empty: podVariable.
	pod string
	// ignoreErrors lets pass what cannot be evaluated.
	ignoreErrors bool
}

// variant is a rule on some kinds.
type variant struct {
	name  string
	kinds []policies.WorkloadKind
	// mode is what becomes of the rule's mode on these kinds.
	mode func(policies.Mode) policies.Mode
}

// variants writes a policy for each mode that a rule has in some namespace.
func (e *exporter) variants(v variant, own *policies.Mode, body body) {
	spec := &e.policy.Spec
	if len(spec.Match.Kinds) > 0 {
		v.kinds = slices.DeleteFunc(slices.Clone(v.kinds), func(k policies.WorkloadKind) bool { return !slices.Contains(spec.Match.Kinds, k) })
	}
	if len(v.kinds) == 0 {
		return
	}
	base := spec.Mode
	if own != nil {
		base = *own
	}
	text, modes := quote(string(v.mode(base))), []policies.Mode{v.mode(base)}
	for _, override := range slices.Backward(spec.ModeOverrides) {
		mode := override.Mode
		if own != nil && mode.StricterThan(*own) {
			mode = *own // the milder of the two, as in Match.ModeOf
		}
		mode = v.mode(mode)
		text = fmt.Sprintf("%s ? %s : %s", inNamespaces(override.Namespaces), quote(string(mode)), text)
		if !slices.Contains(modes, mode) {
			modes = append(modes, mode)
		}
	}
	for _, mode := range policies.Modes() {
		if !slices.Contains(modes, mode) {
			continue
		}
		name, condition := v.name, ""
		if len(modes) > 1 {
			name += "-" + strings.ToLower(string(mode))
			condition = fmt.Sprintf("(%s) == %s", text, quote(string(mode)))
		}
		e.write(name, v.kinds, mode, e.conditions(condition), body)
	}
}

// write adds one policy and its binding.
func (e *exporter) write(rule string, kinds []policies.WorkloadKind, mode policies.Mode, conditions []admissionv1.MatchCondition, body body) {
	name := "portcullis-" + e.policy.Name + "-" + strings.ToLower(rule)
	labels := map[string]string{"app.kubernetes.io/name": "portcullis", "app.kubernetes.io/component": "native-fallback"}
	failure := admissionv1.Fail
	if body.ignoreErrors {
		failure = admissionv1.Ignore
	}
	equivalent, forbidden := admissionv1.Equivalent, metav1.StatusReasonForbidden
	validations := slices.Clone(body.validations)
	for i := range validations {
		validations[i].Reason = &forbidden // as the webhook answers
	}
	e.out.Policies = append(e.out.Policies, &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &failure,
			MatchConstraints: &admissionv1.MatchResources{
				ResourceRules: resourceRules(kinds), MatchPolicy: &equivalent,
				NamespaceSelector: e.namespaceSelector(), ObjectSelector: e.policy.Spec.Match.ObjectSelector,
			},
			MatchConditions: conditions,
			Variables:       append([]admissionv1.Variable{{Name: cmp.Or(body.pod, podVariable), Expression: podTemplate}}, body.variables...),
			Validations:     validations,
		},
	})
	actions := map[policies.Mode][]admissionv1.ValidationAction{
		policies.ModeEnforce: {admissionv1.Deny}, policies.ModeWarn: {admissionv1.Warn, admissionv1.Audit}, policies.ModeAudit: {admissionv1.Audit},
	}
	e.out.Bindings = append(e.out.Bindings, &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: actions[mode]},
	})
}

// leftOut names the parts of a policy that nothing was made of.
func (e *exporter) leftOut() {
	spec := &e.policy.Spec
	for section, set := range map[string]bool{
		"digests": spec.Mutate.Digests != nil, "probes": spec.Mutate.Probes != nil,
		"logging": spec.Mutate.Logging != nil, "hardening": spec.Mutate.Hardening != nil,
	} {
		if set {
			e.left("spec.mutate.%s: nothing is repaired while the webhook is away, so that what it would repair is refused where a check asks for it", section)
		}
	}
	for section, set := range map[string]bool{
		"rootUser": spec.Validate.RootUser != nil, "probes": spec.Validate.Probes != nil, "logging": spec.Validate.Logging != nil,
	} {
		if set {
			e.left("spec.validate.%s: it is the webhook's alone", section)
		}
	}
	if spec.ExistingViolations == policies.ExistingViolationsAllow && len(e.out.Policies) > 0 {
		e.left("spec.existingViolations: an update that changes what runs is judged in full, so that what was there before is refused too")
	}
	if spec.BreakGlass != nil && len(e.out.Policies) > 0 {
		e.left("spec.breakGlass: nobody passes by the annotation what the API server itself refuses, not even while the webhook is there")
	}
	slices.Sort(e.out.Left)
}

// quote is text as a CEL literal.
func quote(text string) string {
	return "'" + strings.Trim(strings.ReplaceAll(strings.ReplaceAll(strconv.Quote(text), `\"`, `"`), "'", `\'`), `"`) + "'"
}

func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
)

// PodSecurityRule is the key of the section that this file judges.
const PodSecurityRule = "podSecurity"

// PodSecurity judges a workload by a level of the Pod Security Standards. There
// is a finding for each field that makes it fail a control, except for the
// fields of containers that the policy exempts from that control: a control is
// met if the pod meets it without the exempt containers.
func PodSecurity(evaluator *security.Evaluator, w *pod.Workload, s *policies.CompiledPodSecurity) []pod.Finding {
	if s.Level == nil {
		return nil
	}
	var findings []pod.Finding
	for _, v := range evaluator.Evaluate(*s.Level, w) {
		exempt := exemptContainers(w, v.Check, s.Exemptions)
		if len(exempt) > 0 && v.Passes(w.Template, withoutContainers(w.Spec, exempt)) {
			continue
		}
		findings = append(findings, podSecurityFindings(v, *s.Level, w, exempt)...)
	}
	return findings
}

// LabelFindings is what the labels pod-security.kubernetes.io/{enforce,warn,audit}
// of a namespace say about a workload.
type LabelFindings struct {
	Enforce, Warn, Audit []pod.Finding
	// Err is what is wrong with the labels. As in Kubernetes a bad enforce label
	// counts as restricted, a bad warn or audit label as privileged.
	Err error
}

// NamespaceLabels judges a workload by its namespace's labels with the meaning
// that Kubernetes gives them (k8s.io/pod-security-admission/admission,
// EvaluatePod). What an enforced finding in a template leads to is the caller's
// to say: Kubernetes leaves templates to the warn and audit labels.
func NamespaceLabels(evaluator *security.Evaluator, w *pod.Workload, labels map[string]string) LabelFindings {
	privileged := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	want, errs := api.PolicyToEvaluate(labels, api.Policy{Enforce: privileged, Warn: privileged, Audit: privileged})
	var f LabelFindings
	if len(errs) > 0 {
		f.Err = errs.ToAggregate()
	}
	judge := func(lv api.LevelVersion) (findings []pod.Finding) {
		for _, v := range evaluator.Evaluate(lv, w) {
			findings = append(findings, podSecurityFindings(v, lv, w, nil)...)
		}
		return findings
	}
	f.Enforce = judge(want.Enforce)
	f.Warn, f.Audit = f.Enforce, f.Enforce
	if want.Warn != want.Enforce {
		f.Warn = judge(want.Warn)
	}
	switch want.Audit {
	case want.Enforce:
	case want.Warn:
		f.Audit = f.Warn
	default:
		f.Audit = judge(want.Audit)
	}
	return f
}

// podSecurityFindings turns a violation into one finding a field, or into one
// that quotes upstream where the fields are not known.
func podSecurityFindings(v security.Violation, lv api.LevelVersion, w *pod.Workload, exempt []string) []pod.Finding {
	var findings []pod.Finding
	for _, o := range security.Offences(v, w) {
		if o.Container != "" && slices.Contains(exempt, o.Container) {
			continue
		}
		verb := "forbidden"
		if o.Edit.Old == nil {
			verb = "required"
		}
		findings = append(findings, pod.Finding{
			Rule: PodSecurityRule, Check: string(v.Check), Container: o.Container,
			Path: o.Edit.Path, Value: o.Edit.Old, Fix: o.Fix, Inheritors: o.Inheritors, Edit: editOf(v.Check, o, w),
			Message: fmt.Sprintf("%s by Pod Security %s (%s)", verb, lv, v.Reason),
		})
	}
	if len(findings) > 0 {
		return findings
	}
	return []pod.Finding{{
		Rule: PodSecurityRule, Check: string(v.Check), Path: w.SpecPath(),
		Message: fmt.Sprintf("forbidden by Pod Security %s (%s): %s", lv, v.Reason, v.Detail),
		Fix:     "see https://kubernetes.io/docs/concepts/security/pod-security-standards/",
	}}
}

// editOf is the edit of an offence where it is right for sure, else nil. With
// runAsNonRoot the kubelet does not start a container whose user is root, or one
// that only the image names; without capabilities root cannot do what root is for. Both
// are sure where the manifest says who runs there.
func editOf(check policy.CheckID, o security.Offence, w *pod.Workload) *pod.Edit {
	onlyNonRoot := check == security.NonRoot || strings.HasSuffix(o.Edit.Path.String(), ".capabilities.drop")
	if o.Choice || onlyNonRoot && !knownNonRoot(o, w) {
		return nil
	}
	edit := o.Edit
	return &edit
}

// knownNonRoot reports whether the manifest gives every container that an offence
// is about a user above 0, or has the kubelet start it with no other.
func knownNonRoot(o security.Offence, w *pod.Workload) bool {
	for c := range w.Containers() {
		if c.Name != o.Container && !slices.Contains(o.Inheritors, c.Name) {
			continue
		}
		uid, nonRoot := w.RunAsUser(c), w.RunAsNonRoot(c)
		if uid != nil && *uid == 0 || uid == nil && (nonRoot == nil || !*nonRoot) {
			return false
		}
	}
	return true
}

// exemptContainers are the names of the containers that the policy exempts from
// a control. An image that cannot be parsed is known by no pattern.
func exemptContainers(w *pod.Workload, check policy.CheckID, exemptions []policies.CompiledExemption) []string {
	if len(exemptions) == 0 {
		return nil
	}
	var names []string
	for c := range w.Containers() {
		var canonical string
		if ref, err := image.ParseReference(c.Image); err == nil {
			canonical = ref.Name()
		}
		covers := func(e policies.CompiledExemption) bool { return e.Covers(check, c.Name, canonical) }
		if slices.ContainsFunc(exemptions, covers) {
			names = append(names, c.Name)
		}
	}
	return names
}

func withoutContainers(spec *corev1.PodSpec, names []string) *corev1.PodSpec {
	exempt := func(name string) bool { return slices.Contains(names, name) }
	left := *spec
	left.Containers = slices.DeleteFunc(slices.Clone(spec.Containers), func(c corev1.Container) bool { return exempt(c.Name) })
	left.InitContainers = slices.DeleteFunc(slices.Clone(spec.InitContainers), func(c corev1.Container) bool { return exempt(c.Name) })
	left.EphemeralContainers = slices.DeleteFunc(slices.Clone(spec.EphemeralContainers), func(c corev1.EphemeralContainer) bool { return exempt(c.Name) })
	return &left
}

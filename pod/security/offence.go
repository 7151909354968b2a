package security

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/pod"
)

// Offence is one field that makes a pod fail a check.
type Offence struct {
	// Container is the name of the container, empty for a field of the pod.
	Container string
	// Edit sets the field to a value with which the check passes. Its Old is what
	// the workload has there, its New is nil where the field has to go.
	Edit pod.Edit
	// Fix is the edit in words: set it to false.
	Fix string
	// Choice marks an edit that makes the check pass and that nobody should make
	// unasked, because the workload may need another one: a volume that becomes an
	// emptyDir, a user who is the image's own.
	Choice bool
	// Inheritors are the containers that take a field of the pod, because they do
	// not have one of their own. Nil where containers have no such field.
	Inheritors []string
}

// Offences returns the fields of the workload that make it fail the violated
// check. Every field that the check may look at is brought to an allowed value
// on a copy; an offence is a field without whose edit the check fails again.
// None is returned where the edits do not make the check pass, as for a check of
// an upstream release that is newer than the remedies.
func Offences(v Violation, w *pod.Workload) []Offence {
	repaired := w.DeepCopy()
	candidates := remedies(v, repaired)
	for _, r := range candidates {
		r.apply()
	}
	if !v.Passes(repaired.Template, repaired.Spec) {
		return nil
	}
	var offences []Offence
	for _, r := range candidates {
		r.revert()
		if !v.Passes(repaired.Template, r.judged) {
			if r.Container == "" {
				r.Inheritors = inheritors(v.Check, w)
			}
			offences = append(offences, r.Offence)
		}
		r.apply()
	}
	return offences
}

// inheritors are the containers without their own field of the kind that a
// check restricts.
func inheritors(check policy.CheckID, w *pod.Workload) []string {
	var own func(*corev1.SecurityContext) bool
	switch check {
	case "runAsNonRoot":
		own = func(sc *corev1.SecurityContext) bool { return sc.RunAsNonRoot != nil }
	case "runAsUser":
		own = func(sc *corev1.SecurityContext) bool { return sc.RunAsUser != nil }
	case "seccompProfile_baseline", "seccompProfile_restricted":
		own = func(sc *corev1.SecurityContext) bool { return sc.SeccompProfile != nil }
	case "appArmorProfile":
		own = func(sc *corev1.SecurityContext) bool { return sc.AppArmorProfile != nil }
	case "seLinuxOptions":
		own = func(sc *corev1.SecurityContext) bool { return sc.SELinuxOptions != nil }
	case "windowsHostProcess":
		own = func(sc *corev1.SecurityContext) bool { return sc.WindowsOptions != nil }
	default:
		return nil
	}
	var names []string
	for c := range w.Containers() {
		if c.SecurityContext == nil || !own(c.SecurityContext) {
			names = append(names, c.Name)
		}
	}
	return names
}

// from is the offence with the value that the workload has.
func (o Offence) from(old any) Offence {
	o.Edit.Old = old
	return o
}

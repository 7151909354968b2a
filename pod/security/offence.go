package security

import "github.com/portcullis-dev/portcullis/pod"

// Offence is one field that makes a pod fail a check.
type Offence struct {
	// Container is the name of the container, empty for a field of the pod.
	Container string
	// Edit sets the field to a value with which the check passes. Its Old is what
	// the workload has there, its New is nil where the field has to go.
	Edit pod.Edit
	// Fix is the edit in words: set it to false.
	Fix string
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
		if !v.Passes(repaired.Template, repaired.Spec) {
			offences = append(offences, r.Offence)
		}
		r.apply()
	}
	return offences
}

// from is the offence with the value that the workload has.
func (o Offence) from(old any) Offence {
	o.Edit.Old = old
	return o
}

// Package mutate repairs workloads: one file per mutator, named after its
// section of spec.mutate.
//
// A mutator is a pure function of the workload, facts about its images and the
// section's settings. It edits through a Recorder, so that what the checks judge
// and what the patch says cannot differ, and a second run has nothing to edit.
package mutate

import "github.com/portcullis-dev/portcullis/pod"

// Recorder keeps the edits that mutators make to one workload.
type Recorder struct{ edits []pod.Edit }

// Edits are the changes so far, in the order they were made.
func (r *Recorder) Edits() []pod.Edit { return r.edits }

// SetImage changes what an image place of the workload refers to.
func (r *Recorder) SetImage(i pod.Image, reference string) {
	r.edits = append(r.edits, pod.Edit{Path: i.Path(), Old: *i.Reference, New: reference})
	*i.Reference = reference
}

// SetAnnotation sets an annotation of the workload's own metadata.
func (r *Recorder) SetAnnotation(w *pod.Workload, key, value string) {
	e := pod.Edit{Path: pod.Path{}.Child("metadata").Child("annotations").Key(key), New: value}
	if old, ok := w.Metadata.Annotations[key]; ok {
		e.Old = old
	}
	if w.Metadata.Annotations == nil {
		w.Metadata.Annotations = map[string]string{}
	}
	w.Metadata.Annotations[key] = value
	r.edits = append(r.edits, e)
}

// Package mutate repairs workloads: one file per mutator, named after its
// section of spec.mutate.
//
// A mutator is a pure function of the workload, facts about its images and the
// section's settings. It edits through a Recorder, so that what the checks judge
// and what the patch says cannot differ, and a second run has nothing to edit. It
// sets what is not set: no user's value is changed, but for the one that Logging may
// replace (terminationMessagePolicy File), which loses nothing by it.
package mutate

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/pod"
)

// SkipAnnotation of a pod template lists the mutators that are to leave it as it
// is, separated by commas: probes,logging. The policy says whether it counts.
const SkipAnnotation = "portcullis.dev/skip"

// Reason says which mutator makes an edit, and why.
type Reason struct {
	// Rule is the key of the mutator's section: probes.
	Rule string
	// Container is the container that the edit is for, empty for the pod.
	Container string
	// Evidence names what the value derives from, to be read after "from": the
	// HEALTHCHECK of image nginx:1.27.
	Evidence string
}

// Edit is the change of one field, and the reason for it.
type Edit struct {
	pod.Edit
	Reason
}

// Recorder keeps the edits that mutators make to one workload.
type Recorder struct{ edits []Edit }

// Edits are the changes so far, in the order they were made.
func (r *Recorder) Edits() []Edit { return r.edits }

func (r *Recorder) record(e pod.Edit, why Reason) {
	if r.edits == nil {
		const usual = 8 // of one mutator to one workload
		r.edits = make([]Edit, 0, usual)
	}
	r.edits = append(r.edits, Edit{Edit: e, Reason: why})
}

// SetImage changes what an image place of the workload refers to.
func (r *Recorder) SetImage(i pod.Image, reference string, why Reason) {
	r.record(pod.Edit{Path: i.Path(), Old: *i.Reference, New: reference}, why)
	*i.Reference = reference
}

// SetAnnotation sets an annotation of the workload's own metadata.
func (r *Recorder) SetAnnotation(w *pod.Workload, key, value string, why Reason) {
	r.annotate(&w.Metadata.Annotations, pod.Path{}.Child("metadata"), [2]string{key, value}, why)
}

// SetTemplateAnnotation sets an annotation of the pods that the workload makes.
func (r *Recorder) SetTemplateAnnotation(w *pod.Workload, key, value string, why Reason) {
	r.annotate(&w.Template.Annotations, w.TemplatePath().Child("metadata"), [2]string{key, value}, why)
}

func (r *Recorder) annotate(annotations *map[string]string, metadata pod.Path, entry [2]string, why Reason) {
	key, value := entry[0], entry[1]
	e := pod.Edit{Path: metadata.Child("annotations").Key(key), New: value}
	if old, ok := (*annotations)[key]; ok {
		e.Old = old
	}
	if *annotations == nil {
		*annotations = map[string]string{}
	}
	(*annotations)[key] = value
	r.record(e, why)
}

// AddEnv appends variables to a container's environment, in their order. None of
// them may be set already.
func (r *Recorder) AddEnv(c pod.Container, variables []corev1.EnvVar, why Reason) {
	at := c.Path().Child("env")
	if len(c.Env) == 0 {
		r.record(pod.Edit{Path: at, New: variables}, why)
		c.Env = append(c.Env, variables...)
		return
	}
	for _, v := range variables {
		r.record(pod.Edit{Path: at.Index(len(c.Env)), New: v}, why)
		c.Env = append(c.Env, v)
	}
}

// Set gives a field a value. The field is one that is not set.
func Set[T any](r *Recorder, field *T, at pod.Path, value T, why Reason) {
	r.record(pod.Edit{Path: at, New: value}, why)
	*field = value
}

// Replace gives a field another value than the one that it has. A mutator that
// replaces says in its comment why no user's value gets lost.
func Replace[T any](r *Recorder, field *T, at pod.Path, value T, why Reason) {
	r.record(pod.Edit{Path: at, Old: *field, New: value}, why)
	*field = value
}

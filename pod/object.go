package pod

import (
	"fmt"

	"github.com/go-json-experiment/json"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Object is the whole object that w is a view of, from the JSON that w was read
// from: a *corev1.Pod, *appsv1.Deployment and so on. Its pod template is that of w,
// with what has been changed and defaulted since. It shares memory with w.
func Object(w *Workload, data []byte) (any, error) {
	object, template := newObject(w.Kind)
	if err := json.Unmarshal(data, object); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", w.Kind.Name, fieldError(err))
	}
	t := template()
	if t == nil || w.Spec == nil {
		return object, nil
	}
	if !w.Kind.IsPod() {
		t.meta.Name, t.meta.GenerateName, t.meta.Namespace = w.Template.Name, w.Template.GenerateName, w.Template.Namespace
	}
	t.meta.Labels, t.meta.Annotations = w.Template.Labels, w.Template.Annotations
	*t.spec = *w.Spec
	return object, nil
}

// templateOf is the place of a pod template.
type templateOf struct {
	meta *metav1.ObjectMeta
	spec *corev1.PodSpec
}

// newObject returns an empty object of a kind and, once it is filled in, its pod
// template, nil where it has none.
func newObject(kind Kind) (object any, template func() *templateOf) {
	of := func(t *corev1.PodTemplateSpec) func() *templateOf {
		return func() *templateOf { return &templateOf{&t.ObjectMeta, &t.Spec} }
	}
	switch kind.Name {
	case "Pod":
		o := &corev1.Pod{}
		return o, func() *templateOf { return &templateOf{&o.ObjectMeta, &o.Spec} }
	case "PodTemplate":
		o := &corev1.PodTemplate{}
		return o, of(&o.Template)
	case "ReplicationController":
		o := &corev1.ReplicationController{}
		return o, func() *templateOf {
			if o.Spec.Template == nil {
				return nil
			}
			return of(o.Spec.Template)()
		}
	case "Deployment":
		o := &appsv1.Deployment{}
		return o, of(&o.Spec.Template)
	case "ReplicaSet":
		o := &appsv1.ReplicaSet{}
		return o, of(&o.Spec.Template)
	case "StatefulSet":
		o := &appsv1.StatefulSet{}
		return o, of(&o.Spec.Template)
	case "DaemonSet":
		o := &appsv1.DaemonSet{}
		return o, of(&o.Spec.Template)
	case "Job":
		o := &batchv1.Job{}
		return o, of(&o.Spec.Template)
	default: // CronJob, the last of the nine
		o := &batchv1.CronJob{}
		return o, of(&o.Spec.JobTemplate.Spec.Template)
	}
}

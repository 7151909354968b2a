package suite

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind is one of the nine kinds that carry a pod template.
type Kind struct {
	Group, Name, Resource string
	// Path is where the pod spec is.
	Path string
}

// The nine kinds.
var (
	Pod                   = Kind{"", "Pod", "pods", "spec"}
	PodTemplate           = Kind{"", "PodTemplate", "podtemplates", "template.spec"}
	ReplicationController = Kind{"", "ReplicationController", "replicationcontrollers", "spec.template.spec"}
	Deployment            = Kind{"apps", "Deployment", "deployments", "spec.template.spec"}
	ReplicaSet            = Kind{"apps", "ReplicaSet", "replicasets", "spec.template.spec"}
	StatefulSet           = Kind{"apps", "StatefulSet", "statefulsets", "spec.template.spec"}
	DaemonSet             = Kind{"apps", "DaemonSet", "daemonsets", "spec.template.spec"}
	Job                   = Kind{"batch", "Job", "jobs", "spec.template.spec"}
	CronJob               = Kind{"batch", "CronJob", "cronjobs", "spec.jobTemplate.spec.template.spec"}
)

// Kinds are the nine kinds, the Pod first.
func Kinds() []Kind {
	return []Kind{Pod, PodTemplate, ReplicationController, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob}
}

// New is an object of the kind around a pod spec.
func (k Kind) New(namespace, name string, spec corev1.PodSpec) client.Object {
	spec = *spec.DeepCopy()
	labels := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	object := k.empty()
	switch o := object.(type) {
	case *corev1.Pod:
		o.ObjectMeta, o.Spec = meta, spec
	case *corev1.PodTemplate:
		o.ObjectMeta, o.Template = meta, template
	case *corev1.ReplicationController:
		o.ObjectMeta, o.Spec = meta, corev1.ReplicationControllerSpec{Selector: labels, Template: &template}
	case *appsv1.Deployment:
		o.ObjectMeta, o.Spec = meta, appsv1.DeploymentSpec{Selector: selector, Template: template}
	case *appsv1.ReplicaSet:
		o.ObjectMeta, o.Spec = meta, appsv1.ReplicaSetSpec{Selector: selector, Template: template}
	case *appsv1.StatefulSet:
		o.ObjectMeta, o.Spec = meta, appsv1.StatefulSetSpec{Selector: selector, Template: template}
	case *appsv1.DaemonSet:
		o.ObjectMeta, o.Spec = meta, appsv1.DaemonSetSpec{Selector: selector, Template: template}
	case *batchv1.Job:
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		o.ObjectMeta, o.Spec = meta, batchv1.JobSpec{Template: template}
	case *batchv1.CronJob:
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		o.ObjectMeta = meta
		o.Spec = batchv1.CronJobSpec{Schedule: "@daily", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}
	}
	object.GetObjectKind().SetGroupVersionKind(k.gvk())
	return object
}

// SpecOf is the pod spec of an object of one of the nine kinds.
func SpecOf(object client.Object) *corev1.PodSpec {
	switch o := object.(type) {
	case *corev1.Pod:
		return &o.Spec
	case *corev1.PodTemplate:
		return &o.Template.Spec
	case *corev1.ReplicationController:
		return &o.Spec.Template.Spec
	case *appsv1.Deployment:
		return &o.Spec.Template.Spec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return &o.Spec.Template.Spec
	case *batchv1.Job:
		return &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.Spec
	}
	panic(fmt.Sprintf("%T carries no pod template", object))
}

// GoodSpec is a pod spec that passes restricted in every version, with one
// container named main whose image is a tag.
func GoodSpec() corev1.PodSpec {
	return corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   ptr.To(true),
			RunAsUser:      ptr.To[int64](1000),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{GoodContainer("main")},
	}
}

// GoodContainer is a container that passes restricted in the pod of GoodSpec.
func GoodContainer(name string) corev1.Container {
	return corev1.Container{
		Name:  name,
		Image: "nginx:1.27",
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// TemplateMetaOf is the metadata of the pods that a Deployment makes.
func TemplateMetaOf(object client.Object) *metav1.ObjectMeta {
	return &object.(*appsv1.Deployment).Spec.Template.ObjectMeta
}

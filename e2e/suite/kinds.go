package suite

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (k Kind) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: "v1", Kind: k.Name}
}

func (k Kind) empty() client.Object {
	switch k {
	case Pod:
		return &corev1.Pod{}
	case PodTemplate:
		return &corev1.PodTemplate{}
	case ReplicationController:
		return &corev1.ReplicationController{}
	case Deployment:
		return &appsv1.Deployment{}
	case ReplicaSet:
		return &appsv1.ReplicaSet{}
	case StatefulSet:
		return &appsv1.StatefulSet{}
	case DaemonSet:
		return &appsv1.DaemonSet{}
	case Job:
		return &batchv1.Job{}
	case CronJob:
		return &batchv1.CronJob{}
	}
	panic(fmt.Sprintf("%s is none of the nine kinds", k.Name))
}

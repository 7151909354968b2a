package reviews

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	podKind        = "Pod"
	deploymentKind = "Deployment"
)

// object is a Pod or a Deployment with the parts that the review speaks of.
type object struct {
	value       runtime.Object
	meta        *metav1.ObjectMeta
	spec        *corev1.PodSpec
	specPointer string
	resource    string
}

// object makes the i-th object of a kind, with a fault.
func (g *generator) object(kind string, i int, f fault) object {
	app := pick(g, []string{"checkout", "cart", "ledger", "indexer", "gateway", "catalog"})
	labels := map[string]string{"app": app, "release": fmt.Sprintf("%s-%03d", app, i)}
	meta := metav1.ObjectMeta{
		Name: fmt.Sprintf("%s-%03d", app, i), Namespace: pick(g, Namespaces()), UID: g.uid(),
		CreationTimestamp: metav1.NewTime(started().Add(time.Duration(i) * time.Second)),
		Labels:            labels,
	}
	spec := g.podSpec(app)
	if kind == podKind {
		meta.Annotations = map[string]string{"checksum/config": fmt.Sprintf("%016x%016x", g.Uint64(), g.Uint64())}
		if i%8 < 2 {
			g.own(&meta, app)
		}
		if f.apply != nil {
			f.apply(&spec)
		}
		p := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: podKind}, ObjectMeta: meta, Spec: spec,
			Status: corev1.PodStatus{Phase: corev1.PodPending, QOSClass: corev1.PodQOSBurstable},
		}
		if p.OwnerReferences == nil {
			p.ManagedFields = applied("kubectl", p, started())
		} else {
			p.ManagedFields = updated("kube-controller-manager", p, started())
		}
		return object{p, &p.ObjectMeta, &p.Spec, "/spec", "pods"}
	}
	if f.apply != nil {
		f.apply(&spec)
	}
	d := deployment(meta, spec)
	d.ManagedFields = applied("argocd-controller", d, started())
	return object{d, &d.ObjectMeta, &d.Spec.Template.Spec, "/spec/template/spec", "deployments"}
}

// started is the time stamp of the first object.
func started() time.Time { return time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC) }

func deployment(meta metav1.ObjectMeta, spec corev1.PodSpec) *appsv1.Deployment {
	quarter := intstr.FromString("25%")
	meta.Generation = 1
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: deploymentKind}, ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"release": meta.Labels["release"]}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
				Spec:       spec,
			},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &quarter, MaxSurge: &quarter},
			},
			RevisionHistoryLimit:    new(int32(10)),
			ProgressDeadlineSeconds: new(int32(600)),
		},
	}
}

// own makes the pod look as a ReplicaSet makes it: its name comes after admission.
func (g *generator) own(meta *metav1.ObjectMeta, app string) {
	hash := fmt.Sprintf("%08x", g.Uint32())
	set := app + "-" + hash
	meta.Name, meta.GenerateName = "", set+"-"
	labels := map[string]string{"pod-template-hash": hash}
	for k, v := range meta.Labels {
		labels[k] = v
	}
	meta.Labels = labels
	meta.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set, UID: g.uid(),
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}
}

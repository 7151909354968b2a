package pod

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SameTemplate reports whether two states of an object make the same pods. The
// metadata of a Pod does not count: its labels, annotations and finalizers are
// changed all through its life.
func SameTemplate(a, b *Workload) bool {
	if !equality.Semantic.DeepEqual(a.Spec, b.Spec) {
		return false
	}
	if b.Kind.IsPod() {
		return true
	}
	return equality.Semantic.DeepEqual(a.Template, b.Template)
}

// ControllerOf is the owner that manages the workload, nil where it has none.
func ControllerOf(w *Workload) *metav1.OwnerReference {
	return metav1.GetControllerOfNoCopy(&w.Metadata)
}

// IsBuiltIn reports whether an owner is one of the nine kinds, in any version.
func IsBuiltIn(owner *metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(kinds, func(k Kind) bool { return k.Group == gv.Group && k.Name == owner.Kind })
}

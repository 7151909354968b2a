package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BreakGlass says who may pass a policy in an emergency, and for how long.
type BreakGlass struct {
	// The groups whose members may pass, by the exact names that the API server
	// knows them by. A member passes by the annotation portcullis.dev/break-glass on
	// the object or its pod template, with the reason as its value. The Pods that a
	// controller makes pass too if they carry it, in the same namespace and for as
	// long. Example: [oncall].
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[^*\s]+$`
	// +kubebuilder:validation:XValidation:rule="!self.exists(g, g in ['system:authenticated', 'system:unauthenticated', 'system:serviceaccounts'])",message="names a group that anybody is in; name one of people who are on call"
	Groups []string `json:"groups"`

	// How long after the first use for a reason in a namespace the policy is passed
	// there for this reason, in hours, minutes and seconds. Further uses do not
	// extend it; after it has ended, a member can use it anew. A shorter one ends
	// what is open. Default: 4h. At most 24h.
	// +optional
	// +kubebuilder:default="4h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s)$`
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="lets nobody pass; leave spec.breakGlass out instead"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="is longer than 24h; make an exception for what lasts"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
}

// BrokenGlass is one use of spec.breakGlass of a policy.
type BrokenGlass struct {
	// The namespace in which the policy is passed.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// Who was the first to use it.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	User string `json:"user"`

	// Why, in the words of the annotation, which the Pods that pass have too.
	// +required
	// +kubebuilder:validation:MaxLength=200
	Reason string `json:"reason"`

	// When it was used first.
	// +required
	Since metav1.Time `json:"since"`

	// When it ends.
	// +required
	Until metav1.Time `json:"until"`
}

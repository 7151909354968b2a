package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReadyCondition is the type of the condition that tells whether a policy is in
// force as it is written.
const ReadyCondition = "Ready"

// The reasons of ReadyCondition.
const (
	// InForce: the policy is in force as it is written.
	InForce = "InForce"
	// LastValidVersionInForce: the policy is invalid, and a former version of it is
	// in force.
	LastValidVersionInForce = "LastValidVersionInForce"
	// Invalid: the policy is invalid, and nothing of it is in force.
	Invalid = "Invalid"
)

// PodPolicyStatus is what became of a policy in the cluster.
type PodPolicyStatus struct {
	// The generation of the policy that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// How many rules are in force: sections of mutate and of validate.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Rules int32 `json:"rules"`

	// Ready is True for a policy that is in force as it is written, since its
	// lastTransitionTime. Else the message lists what is wrong and says what is in
	// force in its place.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// The uses of spec.breakGlass, those that have ended until there is no room.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	BreakGlass []BrokenGlass `json:"breakGlass,omitempty"`

	// The version that is in force in place of the newest one, which is invalid.
	// Replicas that start meanwhile take it from here. Missing where the newest
	// version is valid.
	// +optional
	LastValid *ValidVersion `json:"lastValid,omitempty"`
}

// ValidVersion is a former version of a policy.
type ValidVersion struct {
	// Its generation.
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation"`

	// Its spec, as JSON.
	// +required
	// +kubebuilder:validation:MaxLength=262144
	Spec string `json:"spec"`
}

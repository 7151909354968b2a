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

	// What the last scan of the cluster found by the policy. Absent before the first
	// one, and where nothing of the policy is in force.
	// +optional
	Scan *PolicyScan `json:"scan,omitempty"`

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

// PolicyScan counts what a scan of the cluster found by one policy. What several
// policies find is counted once, for the strictest of them.
type PolicyScan struct {
	// The generation of the policy that the scan went by.
	// +kubebuilder:validation:Minimum=0
	Generation int64 `json:"generation"`

	// The workloads that the policy is for. Pods count with what they belong to.
	// +kubebuilder:validation:Minimum=0
	Workloads int32 `json:"workloads"`

	// The findings about them: the sum of denied, warned and audited.
	// +kubebuilder:validation:Minimum=0
	Findings int32 `json:"findings"`

	// Findings by which a creation would be refused now.
	// +kubebuilder:validation:Minimum=0
	Denied int32 `json:"denied"`

	// Findings that a creation would be warned about now.
	// +kubebuilder:validation:Minimum=0
	Warned int32 `json:"warned"`

	// Findings that would be recorded and nothing else.
	// +kubebuilder:validation:Minimum=0
	Audited int32 `json:"audited"`

	// Findings that exceptions exempt, which are not among the others.
	// +kubebuilder:validation:Minimum=0
	Exempt int32 `json:"exempt"`

	// Rules that could not be judged, for want of an answer from a registry say,
	// counted for each workload.
	// +kubebuilder:validation:Minimum=0
	Unjudged int32 `json:"unjudged"`
}

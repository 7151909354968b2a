package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InForceCondition is the type of the condition that tells whether an exception
// exempts from something.
const InForceCondition = "InForce"

// The reasons of InForceCondition. With the first two it is True.
const (
	// ExceptionActive: the exception is in force.
	ExceptionActive = "Active"
	// ExceptionEnding: it is in force, and ends soon.
	ExceptionEnding = "Ending"
	// ExceptionExpired: it has ended.
	ExceptionExpired = "Expired"
	// ExceptionNotAllowed: no policy that it names lets exceptions be made.
	ExceptionNotAllowed = "NotAllowed"
	// ExceptionOrphaned: no policy that it names is in force.
	ExceptionOrphaned = "Orphaned"
	// ExceptionInvalid: it cannot be read.
	ExceptionInvalid = "Invalid"
)

// PolicyExceptionStatus is what became of an exception in the cluster.
type PolicyExceptionStatus struct {
	// The generation of the exception that the rest of the status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// When the exception ends for the last of the policies that it names, which is
	// before spec.expiresAt where maxDuration of the policy is shorter. Missing for
	// an exception that exempts from nothing.
	// +optional
	EndsAt *metav1.Time `json:"endsAt,omitempty"`

	// InForce is True for an exception that exempts from something, since its
	// lastTransitionTime. Its reason is Active or Ending, else Expired, NotAllowed,
	// Orphaned or Invalid, and its message says when the exception ends for each
	// policy, and what is wrong.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

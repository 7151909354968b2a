// Package wgpolicy has the kinds PolicyReport and ClusterPolicyReport of
// wgpolicyk8s.io/v1alpha2, of which the definitions in
// manifests/components/policy-reports are generated.
//
// Without a definition a cluster keeps no reports, and the page that most tools point
// to for it is a download. These have the fields, enumerations and columns of the
// original, so that other producers and viewers of reports work with them too, and one
// can be put in the place of the other. Nothing at run time depends on this package:
// reports are written as JSON by package report.
//
// Source: https://github.com/kubernetes-sigs/wg-policy-prototypes/tree/master/policy-report
//
// +groupName=wgpolicyk8s.io
// +versionName=v1alpha2
package wgpolicy

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyReport is what policies say about the objects of a namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=polr
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.scope.kind`,priority=1
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.scope.name`,priority=1
// +kubebuilder:printcolumn:name="Pass",type=integer,JSONPath=`.summary.pass`
// +kubebuilder:printcolumn:name="Fail",type=integer,JSONPath=`.summary.fail`
// +kubebuilder:printcolumn:name="Warn",type=integer,JSONPath=`.summary.warn`
// +kubebuilder:printcolumn:name="Error",type=integer,JSONPath=`.summary.error`
// +kubebuilder:printcolumn:name="Skip",type=integer,JSONPath=`.summary.skip`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PolicyReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Content           `json:",inline"`
}

// ClusterPolicyReport is what policies say about a cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=cpolr
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.scope.kind`,priority=1
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.scope.name`,priority=1
// +kubebuilder:printcolumn:name="Pass",type=integer,JSONPath=`.summary.pass`
// +kubebuilder:printcolumn:name="Fail",type=integer,JSONPath=`.summary.fail`
// +kubebuilder:printcolumn:name="Warn",type=integer,JSONPath=`.summary.warn`
// +kubebuilder:printcolumn:name="Error",type=integer,JSONPath=`.summary.error`
// +kubebuilder:printcolumn:name="Skip",type=integer,JSONPath=`.summary.skip`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterPolicyReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Content           `json:",inline"`
}

// Content is what both kinds have.
type Content struct {
	// What the report is about as a whole: a Namespace, a Deployment, a Node.
	// +optional
	Scope *corev1.ObjectReference `json:"scope,omitempty"`

	// What it is about, by labels. There is a scope, or this, or neither.
	// +optional
	ScopeSelector *metav1.LabelSelector `json:"scopeSelector,omitempty"`

	// How many results there are of each kind, those included that the report has no
	// room for.
	// +optional
	Summary Summary `json:"summary,omitempty"`

	// +optional
	Results []Result `json:"results,omitempty"`
}

// Summary counts results.
type Summary struct {
	// +optional
	Pass int `json:"pass"`
	// +optional
	Fail int `json:"fail"`
	// +optional
	Warn int `json:"warn"`
	// +optional
	Error int `json:"error"`
	// +optional
	Skip int `json:"skip"`
}

// Outcome is what came of one rule: pass and fail count for a score, warn is a fail
// that does not, error could not be judged, and skip was not.
//
// +kubebuilder:validation:Enum=pass;fail;warn;error;skip
type Outcome string

// Severity is how bad a result is.
//
// +kubebuilder:validation:Enum=critical;high;low;medium;info
type Severity string

// Result is what one rule of one policy says.
type Result struct {
	// Which program says it.
	// +optional
	Source string `json:"source,omitempty"`

	// The name of the policy.
	Policy string `json:"policy"`

	// The rule in the policy.
	// +optional
	Rule string `json:"rule,omitempty"`

	// +optional
	Category string `json:"category,omitempty"`

	// +optional
	Severity Severity `json:"severity,omitempty"`

	// When it was found.
	// +optional
	Timestamp metav1.Timestamp `json:"timestamp,omitempty"`

	// +optional
	Result Outcome `json:"result,omitempty"`

	// Whether it counts for a score.
	// +optional
	Scored bool `json:"scored,omitempty"`

	// The objects that it is about. With neither these nor resourceSelector it is
	// about the scope of the report.
	// +optional
	Resources []corev1.ObjectReference `json:"resources,omitempty"`

	// The objects that it is about, by labels.
	// +optional
	ResourceSelector *metav1.LabelSelector `json:"resourceSelector,omitempty"`

	// What is wrong, for people.
	// +optional
	Message string `json:"message,omitempty"`

	// More, by names that the source chooses.
	// +optional
	Properties map[string]string `json:"properties,omitempty"`
}

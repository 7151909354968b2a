package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyException lets some workloads be what a PodPolicy refuses, for a
// while: it names policies, rules and workloads, somebody who answers for it,
// and the moment it ends. What it covers is judged all the same, and reported
// as exempt. It counts only in the namespaces that the admin lists with
// --exception-namespaces, by default in portcullis-system. Example:
//
//	apiVersion: portcullis.dev/v1alpha1
//	kind: PolicyException
//	metadata: {name: node-exporter, namespace: portcullis-system}
//	spec:
//	  owner: team-observability
//	  reason: The exporter listens on the node until the move to the sidecar.
//	  expiresAt: "2026-12-31T23:59:59Z"
//	  policies: [production]
//	  rules:
//	  - {rule: validate.podSecurity, checks: [hostPorts]}
//	  match:
//	    namespaces: [monitoring]
//	    names: [node-exporter]
//	    containers: [node-exporter]
//	    images: ["quay.io/prometheus/node-exporter"]
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=pex,categories=portcullis
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Owner,type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name=Policies,type=string,JSONPath=`.spec.policies`
// +kubebuilder:printcolumn:name=Expires,type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name=State,type=string,JSONPath=`.status.conditions[?(@.type=="InForce")].reason`
// +kubebuilder:printcolumn:name=Ends,type=string,priority=1,JSONPath=`.status.endsAt`
// +kubebuilder:printcolumn:name=Reason,type=string,priority=1,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
type PolicyException struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What is exempt from what, until when, and who answers for it.
	Spec PolicyExceptionSpec `json:"spec"`

	// What became of the exception in the cluster. Portcullis writes it; files need
	// none.
	// +optional
	Status PolicyExceptionStatus `json:"status,omitzero"`
}

// PolicyExceptionList is a list of PolicyException objects, as the API server
// returns it.
//
// +kubebuilder:object:root=true
type PolicyExceptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PolicyException `json:"items"`
}

// PolicyExceptionSpec is what is exempt from what, until when, and who answers
// for it. An exception covers a finding only if it covers policy, rule, check,
// workload, container and image by itself: what two exceptions cover between
// them is not exempt.
//
// +kubebuilder:validation:XValidation:rule="!self.rules.exists(r, r.rule.startsWith('mutate.')) || ((!has(self.match.containers) || size(self.match.containers) == 0) && (!has(self.match.images) || size(self.match.images) == 0))",message="a repair is of a workload as a whole; leave match.containers and match.images out, or make two exceptions",fieldPath=".rules"
type PolicyExceptionSpec struct {
	// Why the workloads cannot be what the policy asks for, in a sentence that an
	// auditor understands.
	// Example: "The exporter listens on the node until the move to the sidecar."
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`\S`
	Reason string `json:"reason"`

	// The person or team that answers for the exception, and that is named when it
	// is about to end. Example: team-observability.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`\S`
	Owner string `json:"owner"`

	// Where the work that makes the exception unnecessary is tracked.
	// Example: https://tracker.example.com/PLAT-1234.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Ticket string `json:"ticket,omitempty"`

	// When the exception ends, to the second. It ends earlier where a policy says
	// so: spec.exceptions.maxDuration of the policy counts from the creation of
	// the exception, so that a longer one has to be created anew.
	// Example: "2026-12-31T23:59:59Z".
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	ExpiresAt metav1.Time `json:"expiresAt"`

	// The policies, by their exact names. What a label
	// pod-security.kubernetes.io/* of a namespace demands is not exempt: lower the
	// label. Example: [production].
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Policies []string `json:"policies"`

	// The rules of these policies that do not count. Example:
	// [{rule: validate.podSecurity, checks: [hostPorts]}].
	// +required
	// +listType=map
	// +listMapKey=rule
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Rules []ExceptionRule `json:"rules"`

	// The workloads that the exception covers.
	// +required
	Match ExceptionMatch `json:"match"`
}

// ExceptionRule is a section of a policy, or some checks of it.
//
// +kubebuilder:validation:XValidation:rule="!self.rule.startsWith('mutate.') || !has(self.checks) || size(self.checks) == 0",message="a repair has no checks; leave them out",fieldPath=".checks"
type ExceptionRule struct {
	// The section of the policy: validate.podSecurity is spec.validate.podSecurity.
	// A finding tells it without the first part. Of a section of mutate, the
	// repair is left out, and told as one that would be made.
	// +required
	Rule RuleName `json:"rule"`

	// The checks of the rule, by the ids that findings carry: in
	// "production: podSecurity/hostPorts" it is hostPorts. Those of
	// validate.expressions are the names of expressions. Left out: all of them.
	// Example: [hostPorts].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[-A-Za-z0-9_]+$`
	Checks []string `json:"checks,omitempty"`
}

// ExceptionMatch selects workloads, and what in them is exempt. All fields that
// are given must hold.
//
// +kubebuilder:validation:XValidation:rule="!self.namespaces.exists(n, n.matches('^[*]+$')) || has(self.podSelector) || (has(self.names) && size(self.names) > 0) || (has(self.containers) && size(self.containers) > 0) || (has(self.images) && size(self.images) > 0)",message="this covers every workload; change the policy instead, or add names, podSelector, containers or images"
// +kubebuilder:validation:XValidation:rule="!has(self.kinds) || size(self.kinds) == 0 || (has(self.names) && size(self.names) > 0) || ('Pod' in self.kinds && (!('Deployment' in self.kinds) || 'ReplicaSet' in self.kinds) && (!('CronJob' in self.kinds) || 'Job' in self.kinds))",message="this does not cover what the workloads make; add Pod, ReplicaSet for Deployment and Job for CronJob, or name the workloads in names",fieldPath=".kinds"
type ExceptionMatch struct {
	// Namespaces by name or glob, in which * stands for any run of characters.
	// Whoever may create namespaces can choose a name that a glob covers, so write
	// names where that matters. Example: [monitoring].
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Namespaces []string `json:"namespaces"`

	// Kinds of workload: Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job,
	// CronJob, ReplicationController, PodTemplate. With names, what workloads of
	// these kinds make is covered too; without names add it here. Left out: all
	// nine. Example: [DaemonSet].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	Kinds []WorkloadKind `json:"kinds,omitempty"`

	// Workloads by their exact names. Covered with them is what has a name that
	// the controllers of Kubernetes give: for a Deployment web the ReplicaSet
	// web-6d4cf56db6 and the Pod web-6d4cf56db6-x7k2p. Whoever may create
	// workloads in the namespace may choose such a name; owner references, which
	// anybody can write, do not count. Left out: every workload.
	// Example: [node-exporter].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Names []string `json:"names,omitempty"`

	// Workloads by the labels of their pods: those of the pod template, and of a
	// Pod its own, so that a workload and what it makes are covered alike. Whoever
	// writes the workload writes these labels. Left out or empty: every workload.
	// Example: {matchLabels: {app: node-exporter}}.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// Containers (init and ephemeral ones too) by name or glob. What is wrong with
	// the pod as a whole is then not exempt, except where it is about these
	// containers alone. Left out: all containers, and the pod.
	// Example: [node-exporter].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Containers []string `json:"containers,omitempty"`

	// Containers by their images, written as in validate.registries. Together with
	// containers both must match. Left out: every image.
	// Example: ["quay.io/prometheus/node-exporter"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Images []string `json:"images,omitempty"`
}

// ExceptionSettings say what exceptions a policy lets be made.
type ExceptionSettings struct {
	// Whether a PolicyException can name this policy. False ends those that do.
	// Default: true.
	// +optional
	// +kubebuilder:default=true
	Allowed *bool `json:"allowed,omitempty"`

	// How long after its creation an exception ends at the latest, in hours,
	// minutes and seconds. A shorter one shortens exceptions that there are.
	// Default: 720h, which is 30 days.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s)$`
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="this lets no exception last; set allowed to false instead"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
}

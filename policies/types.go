package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodPolicy states what holds for Pods and for everything that carries a Pod
// template: what is repaired, what is refused, and where. Every policy that
// matches a workload applies to it; for one finding the strictest mode wins,
// and where two policies could repair the same field the first one by name
// does. Example:
//
//	apiVersion: portcullis.dev/v1alpha1
//	kind: PodPolicy
//	metadata: {name: production}
//	spec:
//	  match: {excludeNamespaces: [kube-system]}
//	  mode: Enforce
//	  modeOverrides:
//	  - {namespaces: ["legacy-*"], mode: Warn}
//	  mutate:
//	    digests: {}
//	  validate:
//	    podSecurity: {level: restricted}
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=pp,categories=portcullis
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Mode,type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name=Level,type=string,JSONPath=`.spec.validate.podSecurity.level`
// +kubebuilder:printcolumn:name=Rules,type=integer,JSONPath=`.status.rules`
// +kubebuilder:printcolumn:name=Workloads,type=integer,JSONPath=`.status.scan.workloads`
// +kubebuilder:printcolumn:name=Findings,type=integer,JSONPath=`.status.scan.findings`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
type PodPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the policy covers, how strict it is, and its rules.
	Spec PodPolicySpec `json:"spec"`

	// What became of the policy in the cluster. Portcullis writes it; files need
	// none.
	// +optional
	Status PodPolicyStatus `json:"status,omitzero"`
}

// PodPolicyList is a list of PodPolicy objects, as the API server returns
// it.
//
// +kubebuilder:object:root=true
type PodPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PodPolicy `json:"items"`
}

// PodPolicySpec is what the policy covers, how strict it is, and its rules.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mutate) && (has(self.mutate.digests) || has(self.mutate.probes) || has(self.mutate.logging) || has(self.mutate.hardening))) || (has(self.validate) && (has(self.validate.podSecurity) || has(self.validate.rootUser) || has(self.validate.digests) || has(self.validate.registries) || has(self.validate.probes) || has(self.validate.logging) || (has(self.validate.expressions) && size(self.validate.expressions) > 0)))",message="no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions"
type PodPolicySpec struct {
	// The workloads that the policy applies to. Left out: every workload in
	// every namespace.
	// +optional
	Match MatchSpec `json:"match,omitzero"`

	// What a violation does. Enforce refuses the request; Warn lets it pass and
	// tells the user; Audit lets it pass and records it. Repairs are made in
	// Enforce only; Warn and Audit tell what they would change. Default:
	// Enforce. A rule may set its own mode.
	// +optional
	// +kubebuilder:default="Enforce"
	Mode Mode `json:"mode,omitempty"`

	// Another mode for some namespaces, so that a policy is rolled out in stages
	// without copying it. The first entry that names the namespace is used. It
	// replaces the policy's mode there, and no rule is stricter there than the
	// entry says: a rule with its own mode gets the milder of the two. Example:
	// [{namespaces: ["legacy-*"], mode: Warn}].
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	ModeOverrides []ModeOverride `json:"modeOverrides,omitempty"`

	// What happens when a rule needs an answer from a registry and there is
	// none, neither fresh nor remembered. Deny refuses the request; Warn lets it
	// pass as it is and tells the user; Allow lets it pass as it is. Default:
	// Deny.
	// +optional
	// +kubebuilder:default="Deny"
	OnRegistryError RegistryErrorAction `json:"onRegistryError,omitempty"`

	// What happens on an update to findings that the object had before it (same
	// rule, container and value). Allow lets the update pass with a warning and
	// refuses new findings only; Deny refuses any finding. Default: Allow.
	// +optional
	// +kubebuilder:default="Allow"
	ExistingViolations ExistingViolations `json:"existingViolations,omitempty"`

	// The repairs, made before the workload is judged, in the order digests,
	// probes, logging, hardening. They add to what the user wrote and take nothing
	// of it away: a tag gets its digest, and a field that is set stays as it is.
	// +optional
	Mutate MutateSpec `json:"mutate,omitzero"`

	// The checks, made on the repaired workload.
	// +optional
	Validate ValidateSpec `json:"validate,omitzero"`

	// What exceptions from this policy can be made, each an object of kind
	// PolicyException. Left out: exceptions of up to 30 days.
	// Example: {allowed: true, maxDuration: 720h}.
	// +optional
	// +kubebuilder:default={}
	Exceptions ExceptionSettings `json:"exceptions,omitzero"`

	// Who may pass the policy in an emergency, by an annotation with a reason, and
	// for how long. Each use is recorded. Left out: nobody.
	// Example: {groups: [oncall], maxDuration: 2h}.
	// +optional
	BreakGlass *BreakGlass `json:"breakGlass,omitempty"`
}

// MatchSpec selects workloads. All fields are optional and all that are
// given must hold; an empty one selects everything.
//
// +kubebuilder:validation:XValidation:rule="!has(self.namespaces) || !has(self.excludeNamespaces) || !self.namespaces.exists(n, n in self.excludeNamespaces)",message="a namespace is both in namespaces and in excludeNamespaces"
type MatchSpec struct {
	// Namespaces by name or glob, in which * stands for any run of characters.
	// Left out: every namespace.
	// Example: [production, "team-*"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	// Namespaces, by name or glob, that the policy leaves alone whatever else
	// selects them. Example: [kube-system].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	// +kubebuilder:validation:XValidation:rule="!self.exists(n, n.matches('^[*]+$'))",message="this leaves out every namespace; delete the policy instead"
	ExcludeNamespaces []string `json:"excludeNamespaces,omitempty"`

	// Users whose requests the policy leaves alone, by the exact names that they
	// log in with, as in the exemptions of Kubernetes' own PodSecurityConfiguration.
	// The Pods of a Deployment are created by a controller, so that a user who is
	// named here gets a bad template past the policy and no Pod from it; naming the
	// controller would exempt everybody. Check and audit know no user, and exempt
	// none. Example: [system:serviceaccount:storage:csi-provisioner].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^[^*]*[^*\s][^*]*$`
	ExcludeUsernames []string `json:"excludeUsernames,omitempty"`

	// Runtime classes whose pods the policy leaves alone, by their exact names. Who
	// may use one is for a quota or another policy to say.
	// Example: [gvisor].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ExcludeRuntimeClasses []string `json:"excludeRuntimeClasses,omitempty"`

	// Namespaces by their labels. Whoever may label a namespace can take it in
	// or out with it, so select by labels that tenants cannot set, or by
	// kubernetes.io/metadata.name, which the API server sets. Left out or empty:
	// every namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Workloads by the labels of the object itself (not of its pod template).
	// Whoever writes the object writes its labels, so this is for roll-out and
	// convenience, not a fence. Left out or empty: every workload.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// The kinds of workload: Pod, Deployment, ReplicaSet, StatefulSet,
	// DaemonSet, Job, CronJob, ReplicationController, PodTemplate.
	// Left out: all nine. A policy without Pod does not see a Pod that somebody
	// creates directly.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	Kinds []WorkloadKind `json:"kinds,omitempty"`
}

// ModeOverride is another mode for some namespaces.
type ModeOverride struct {
	// Namespaces by name or glob, in which * stands for any run of characters.
	// Example: ["legacy-*"].
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Namespaces []string `json:"namespaces"`

	// The mode in these namespaces: Enforce, Warn or Audit.
	// +required
	Mode Mode `json:"mode"`
}

// MutateSpec holds the repairs. A section that is there, even an empty one
// ({}), switches its repair on.
type MutateSpec struct {
	// Pins image tags to digests: nginx:1.27 becomes nginx:1.27@sha256:..., so
	// that what was judged is what runs. Example: {}.
	// +optional
	// +nullable
	Digests *DigestPinning `json:"digests,omitempty"`

	// Adds probes to containers that have none, derived from annotations, from a
	// catalog of well-known images, from the HEALTHCHECK of the image and from the
	// container's ports. Example: {}.
	// +optional
	// +nullable
	Probes *ProbeInjection `json:"probes,omitempty"`

	// Makes containers log to their standard output, unbuffered and structured, by
	// the variables that the image's runtime reads, and has their last words kept
	// as termination message. Example: {}.
	// +optional
	// +nullable
	Logging *LoggingInjection `json:"logging,omitempty"`

	// Adds the fields of security contexts that Pod Security level restricted asks
	// for, where the image makes that safe. Example: {}.
	// +optional
	// +nullable
	Hardening *Hardening `json:"hardening,omitempty"`
}

// MutatorSettings are what every section of spec.mutate has.
type MutatorSettings struct {
	// Enforce, Warn or Audit for this repair alone. Only Enforce changes anything;
	// Warn and Audit tell what it would change. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// Controllers outside the built-in groups whose Pods are repaired too, as
	// GROUP/KIND, in which * stands for any run of characters. Such a controller
	// may compare its Pods with what it wrote and replace them for ever
	// (https://github.com/cloudnative-pg/cloudnative-pg/issues/10872), so name
	// those that are known not to. Pods of Deployments, Jobs and the other
	// built-in kinds are repaired in any case. Left out: none.
	// Example: [argoproj.io/Rollout, "*.example.com/*"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?(\.[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)*/[A-Z*]([-A-Za-z0-9*]*[A-Za-z0-9*])?$`
	// +kubebuilder:validation:XValidation:rule="!self.exists(o, o.startsWith('apps/') || o.startsWith('batch/'))",message="the Pods of built-in kinds are repaired in any case; leave them out"
	Owners []string `json:"owners,omitempty"`

	// Whether a pod template can leave this repair out, by listing it in its
	// annotation portcullis.dev/skip: probes,logging. Honor leaves it out and
	// reports that; Ignore repairs all the same and tells the user. Default: Ignore.
	// +optional
	// +kubebuilder:default="Ignore"
	SkipAnnotation SkipAnnotation `json:"skipAnnotation,omitempty"`
}

// ValidateSpec holds the checks. A section that is there, even an empty one
// ({}), switches its check on.
type ValidateSpec struct {
	// Judges pods by the Pod Security Standards, with Kubernetes' own checks.
	// Example: {level: restricted}.
	// +optional
	// +nullable
	PodSecurity *PodSecurity `json:"podSecurity,omitempty"`

	// Refuses containers that would run as root: by runAsUser of the container or
	// of its pod, else by the USER of the image, on every platform that the image
	// has. Example: {}.
	// +optional
	// +nullable
	RootUser *RootUser `json:"rootUser,omitempty"`

	// Refuses images that are not named by digest, after mutate.digests has
	// pinned what it can. Example: {forbidTags: [latest]}.
	// +optional
	// +nullable
	Digests *DigestRequirement `json:"digests,omitempty"`

	// Refuses images by registry and repository.
	// Example: {allow: ["docker.io/library/*", "registry.example.com/**"]}.
	// +optional
	// +nullable
	Registries *Registries `json:"registries,omitempty"`

	// Refuses long-running containers without the probes that it lists, after
	// mutate.probes has added what it can, and warns of probes that contradict
	// themselves. Example: {require: [readiness]}.
	// +optional
	// +nullable
	Probes *ProbeRequirement `json:"probes,omitempty"`

	// Finds containers that log where no log collector looks: into files, or
	// buffered. Its mode is Warn unless it sets its own. Example: {}.
	// +optional
	// +nullable
	Logging *LoggingRequirement `json:"logging,omitempty"`

	// Rules of your own, in CEL, as in ValidatingAdmissionPolicy. Example:
	// [{name: no-host-aliases, expression: "!has(pod.spec.hostAliases)"}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Expressions []Expression `json:"expressions,omitempty"`
}

package policies

// Mode says what a violation does.
//
// +kubebuilder:validation:Enum=Enforce;Warn;Audit
type Mode string

// The modes, strictest first.
const (
	// ModeEnforce refuses the request.
	ModeEnforce Mode = "Enforce"
	// ModeWarn lets the request pass and tells the user.
	ModeWarn Mode = "Warn"
	// ModeAudit lets the request pass and records the finding.
	ModeAudit Mode = "Audit"
)

// Modes returns every mode, strictest first.
func Modes() []Mode {
	return []Mode{ModeEnforce, ModeWarn, ModeAudit}
}

// StricterThan tells whether a violation weighs more in mode m than in mode other.
func (m Mode) StricterThan(other Mode) bool {
	return m.strictness() > other.strictness()
}

// strictness is exhaustive by the enum; a mode from nowhere counts as the strictest, so that a mistake in the caller denies.
func (m Mode) strictness() int {
	switch m {
	case ModeAudit:
		return 0
	case ModeWarn:
		return 1
	default:
		return 2
	}
}

// RegistryErrorAction says what a rule does when it needs an answer from a registry and there is none.
//
// +kubebuilder:validation:Enum=Deny;Warn;Allow
type RegistryErrorAction string

// The registry error actions, strictest first.
const (
	// RegistryErrorDeny refuses the request.
	RegistryErrorDeny RegistryErrorAction = "Deny"
	// RegistryErrorWarn lets the request pass as it is and tells the user.
	RegistryErrorWarn RegistryErrorAction = "Warn"
	// RegistryErrorAllow lets the request pass as it is.
	RegistryErrorAllow RegistryErrorAction = "Allow"
)

// RegistryErrorActions returns every registry error action, strictest first.
func RegistryErrorActions() []RegistryErrorAction {
	return []RegistryErrorAction{RegistryErrorDeny, RegistryErrorWarn, RegistryErrorAllow}
}

// ExistingViolations says what an update does about findings that the object had before it.
//
// +kubebuilder:validation:Enum=Allow;Deny
type ExistingViolations string

// The answers to existing violations.
const (
	// ExistingViolationsAllow lets them pass with a warning; new findings count.
	ExistingViolationsAllow ExistingViolations = "Allow"
	// ExistingViolationsDeny treats them like new ones.
	ExistingViolationsDeny ExistingViolations = "Deny"
)

// AllExistingViolations returns every answer to existing violations.
func AllExistingViolations() []ExistingViolations {
	return []ExistingViolations{ExistingViolationsAllow, ExistingViolationsDeny}
}

// NamespaceLabels says whether the Pod Security labels of a namespace count.
//
// +kubebuilder:validation:Enum=Honor;Ignore
type NamespaceLabels string

// What can be done with the Pod Security labels of a namespace.
const (
	// NamespaceLabelsHonor gives them the meaning that Kubernetes gives them.
	NamespaceLabelsHonor NamespaceLabels = "Honor"
	// NamespaceLabelsIgnore judges by the policy's level alone.
	NamespaceLabelsIgnore NamespaceLabels = "Ignore"
)

// AllNamespaceLabels returns everything that can be done with the Pod Security labels.
func AllNamespaceLabels() []NamespaceLabels {
	return []NamespaceLabels{NamespaceLabelsHonor, NamespaceLabelsIgnore}
}

// SkipAnnotation says whether a pod template can leave a repair out.
//
// +kubebuilder:validation:Enum=Honor;Ignore
type SkipAnnotation string

// What can be done with the annotation portcullis.dev/skip.
const (
	// SkipAnnotationHonor leaves a repair out that the annotation lists.
	SkipAnnotationHonor SkipAnnotation = "Honor"
	// SkipAnnotationIgnore repairs all the same.
	SkipAnnotationIgnore SkipAnnotation = "Ignore"
)

// AllSkipAnnotations returns everything that can be done with the annotation.
func AllSkipAnnotations() []SkipAnnotation {
	return []SkipAnnotation{SkipAnnotationHonor, SkipAnnotationIgnore}
}

// CatalogUse says whether the entries that Portcullis ships count beside the policy's own.
//
// +kubebuilder:validation:Enum=Include;Exclude
type CatalogUse string

// What can be done with a shipped catalog.
const (
	// CatalogInclude looks at the policy's entries first and then at those that are shipped.
	CatalogInclude CatalogUse = "Include"
	// CatalogExclude looks at the policy's entries alone.
	CatalogExclude CatalogUse = "Exclude"
)

// CatalogUses returns everything that can be done with a shipped catalog.
func CatalogUses() []CatalogUse {
	return []CatalogUse{CatalogInclude, CatalogExclude}
}

// TemplateAction says what an enforced Pod Security finding in a pod template does.
//
// +kubebuilder:validation:Enum=Deny;Warn
type TemplateAction string

// The template actions, strictest first.
const (
	// TemplatesDeny refuses the workload.
	TemplatesDeny TemplateAction = "Deny"
	// TemplatesWarn lets the workload pass with a warning, as Kubernetes does; its Pods are refused.
	TemplatesWarn TemplateAction = "Warn"
)

// TemplateActions returns every template action, strictest first.
func TemplateActions() []TemplateAction {
	return []TemplateAction{TemplatesDeny, TemplatesWarn}
}

// WorkloadKind is a built-in kind that is a Pod or carries a Pod template.
//
// +kubebuilder:validation:Enum=Pod;Deployment;ReplicaSet;StatefulSet;DaemonSet;Job;CronJob;ReplicationController;PodTemplate
type WorkloadKind string

// The nine kinds.
const (
	KindPod                   WorkloadKind = "Pod"
	KindDeployment            WorkloadKind = "Deployment"
	KindReplicaSet            WorkloadKind = "ReplicaSet"
	KindStatefulSet           WorkloadKind = "StatefulSet"
	KindDaemonSet             WorkloadKind = "DaemonSet"
	KindJob                   WorkloadKind = "Job"
	KindCronJob               WorkloadKind = "CronJob"
	KindReplicationController WorkloadKind = "ReplicationController"
	KindPodTemplate           WorkloadKind = "PodTemplate"
)

// WorkloadKinds returns the nine kinds.
func WorkloadKinds() []WorkloadKind {
	return []WorkloadKind{
		KindPod, KindDeployment, KindReplicaSet, KindStatefulSet, KindDaemonSet,
		KindJob, KindCronJob, KindReplicationController, KindPodTemplate,
	}
}

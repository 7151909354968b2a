package policies

import (
	psapi "k8s.io/pod-security-admission/api"
)

// PodSecurity are the settings of spec.validate.podSecurity.
//
// +kubebuilder:validation:XValidation:rule="!has(self.exemptions) || !has(self.level) || self.level != 'privileged' || size(self.exemptions) == 0",message="level privileged has no checks to exempt from",fieldPath=".exemptions"
// +kubebuilder:validation:XValidation:rule="!has(self.exemptions) || !has(self.level) || self.level != 'baseline' || !self.exemptions.exists(e, e.checks.exists(c, c in ['allowPrivilegeEscalation', 'capabilities_restricted', 'procMount_restricted', 'runAsNonRoot', 'runAsUser', 'seccompProfile_restricted']))",message="a check belongs to level restricted, and the level here is baseline",fieldPath=".exemptions"
// +kubebuilder:validation:XValidation:rule="!has(self.exemptions) || !has(self.level) || self.level != 'restricted' || self.version != 'latest' || !self.exemptions.exists(e, e.checks.exists(c, c in ['capabilities_baseline', 'procMount', 'seccompProfile_baseline']))",message="a check is not evaluated at level restricted: capabilities_restricted, procMount_restricted and seccompProfile_restricted take the places of capabilities_baseline, procMount and seccompProfile_baseline",fieldPath=".exemptions"
// +kubebuilder:validation:XValidation:rule="self.namespaceLabels == 'Honor' || (has(self.level) && self.level != 'privileged')",message="this judges nothing; set level to baseline or restricted, or namespaceLabels to Honor"
// +kubebuilder:validation:XValidation:rule="has(self.level) || self.version == 'latest'",message="version belongs to level; set a level, or leave version out",fieldPath=".version"
// +kubebuilder:validation:XValidation:rule="has(self.level) || !has(self.exemptions) || size(self.exemptions) == 0",message="exemptions belong to level; set a level, or leave exemptions out",fieldPath=".exemptions"
type PodSecurity struct {
	// Enforce, Warn or Audit for the findings of level. Left out: the policy's
	// mode. What a namespace label demands is enforced, warned about or recorded
	// as that label says, whatever the mode is here.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// The Pod Security Standard that every matching pod must meet: privileged,
	// baseline or restricted. A namespace label may demand more than this, never
	// less. Left out: only the labels of the namespace are judged.
	// +optional
	// +kubebuilder:validation:Enum=privileged;baseline;restricted
	Level psapi.Level `json:"level,omitempty"`

	// The Kubernetes version whose definition of level is used: "latest", or a
	// fixed one such as "v1.36" so that an upgrade of Portcullis brings no new
	// checks. Default: latest.
	// +optional
	// +kubebuilder:default="latest"
	// +kubebuilder:validation:Pattern=`^(latest|v1\.(0|[1-9][0-9]{0,8}))$`
	Version string `json:"version,omitempty"`

	// Whether the labels
	// pod-security.kubernetes.io/{enforce,warn,audit}[-version] of a namespace
	// count. Honor gives them the meaning that Kubernetes gives them; Ignore
	// looks at level alone. Default: Honor.
	// +optional
	// +kubebuilder:default="Honor"
	NamespaceLabels NamespaceLabels `json:"namespaceLabels,omitempty"`

	// What an enforced finding in a pod template does (a Deployment, a CronJob,
	// ...). Deny refuses the workload. Warn lets it pass, as Kubernetes does:
	// level warns, the enforce label of the namespace keeps silent, and the Pods
	// are refused later. Default: Deny.
	// +optional
	// +kubebuilder:default="Deny"
	Templates TemplateAction `json:"templates,omitempty"`

	// Containers that some checks of level are not applied to. A namespace label
	// is not softened by an exemption.
	// Example: [{checks: [hostPorts], containers: [node-exporter]}].
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Exemptions []PodSecurityExemption `json:"exemptions,omitempty"`
}

// PodSecurityExemption frees some containers from some checks. At least one
// of containers and images is required; if both are given, a container must
// match both.
//
// +kubebuilder:validation:XValidation:rule="(has(self.containers) && size(self.containers) > 0) || (has(self.images) && size(self.images) > 0)",message="name the exempt containers by containers, images or both"
type PodSecurityExemption struct {
	// The checks, by the ids that Kubernetes gives them and that our findings
	// carry, as far as the level above evaluates them. The checks that look at
	// the pod as a whole (hostNamespaces, hostPathVolumes, restrictedVolumes,
	// sysctls) know no exempt containers.
	// Example: [hostPorts, capabilities_baseline].
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Enum=allowPrivilegeEscalation;appArmorProfile;capabilities_baseline;capabilities_restricted;hostPorts;hostProbesAndHostLifecycle;privileged;procMount;procMount_restricted;runAsNonRoot;runAsUser;seLinuxOptions;seccompProfile_baseline;seccompProfile_restricted;windowsHostProcess
	Checks []string `json:"checks"`

	// Container names (of containers, init containers and ephemeral containers)
	// by name or glob, in which * stands for any run of characters. Whoever
	// writes a pod names its containers: add images where that matters. Example:
	// [node-exporter].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Containers []string `json:"containers,omitempty"`

	// Image names without tag and digest. * stands for any run of characters
	// within one part of the name (between slashes; in the registry's host,
	// between dots), a trailing /** for any number of further parts, ** alone
	// for every image. Short names mean Docker Hub, as everywhere: nginx is
	// docker.io/library/nginx. Example: ["quay.io/prometheus/*",
	// "registry.example.com/platform/**"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Images []string `json:"images,omitempty"`
}

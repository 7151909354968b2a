package policies

// Hardening are the settings of spec.mutate.hardening.
type Hardening struct {
	MutatorSettings `json:",inline"`

	// The fields that are set where they are not set and where that is safe.
	// allowPrivilegeEscalation becomes false, capabilities.drop [ALL],
	// seccompProfile RuntimeDefault and runAsNonRoot true; runAsUser becomes the
	// number that /etc/passwd of the image gives for its USER, where that is a
	// name. Two count only if they are listed: automountServiceAccountToken, which
	// becomes false and takes the API server away from pods that talk to it, and
	// readOnlyRootFilesystem, which becomes true and breaks containers that write
	// outside of volumes. Default: the first five.
	// Example: [seccompProfile, allowPrivilegeEscalation].
	// +optional
	// +listType=set
	// +kubebuilder:default={"allowPrivilegeEscalation","capabilities","seccompProfile","runAsNonRoot","runAsUser"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	Fields []HardeningField `json:"fields,omitempty"`
}

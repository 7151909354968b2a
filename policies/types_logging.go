package policies

// LoggingInjection are the settings of spec.mutate.logging.
type LoggingInjection struct {
	MutatorSettings `json:",inline"`
}

// LoggingRequirement are the settings of spec.validate.logging.
type LoggingRequirement struct {
	// Enforce, Warn or Audit for this check alone. Left out: Warn, or the policy's
	// mode where that is milder.
	// +optional
	Mode *Mode `json:"mode,omitempty"`
}

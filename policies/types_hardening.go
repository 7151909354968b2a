package policies

// Hardening are the settings of spec.mutate.hardening.
type Hardening struct {
	MutatorSettings `json:",inline"`
}

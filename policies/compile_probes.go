package policies

import "k8s.io/apimachinery/pkg/util/validation/field"

// CompiledProbes is spec.mutate.probes.
//
// +kubebuilder:object:generate=false
type CompiledProbes struct{ CompiledMutator }

// CompiledProbeRequirement is spec.validate.probes.
//
// +kubebuilder:object:generate=false
type CompiledProbeRequirement struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
}

func (b *builder) probes(path *field.Path, probes *ProbeInjection) *CompiledProbes {
	return &CompiledProbes{CompiledMutator: b.mutator(path, &probes.MutatorSettings)}
}

func (b *builder) probeRequirement(path *field.Path, probes *ProbeRequirement) *CompiledProbeRequirement {
	return &CompiledProbeRequirement{Mode: b.ruleMode(path.Child("mode"), probes.Mode)}
}

func defaultProbes(*ProbeInjection) {}

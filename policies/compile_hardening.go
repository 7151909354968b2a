package policies

import "k8s.io/apimachinery/pkg/util/validation/field"

// CompiledHardening is spec.mutate.hardening.
//
// +kubebuilder:object:generate=false
type CompiledHardening struct{ CompiledMutator }

func (b *builder) hardening(path *field.Path, hardening *Hardening) *CompiledHardening {
	return &CompiledHardening{CompiledMutator: b.mutator(path, &hardening.MutatorSettings)}
}

func defaultHardening(*Hardening) {}

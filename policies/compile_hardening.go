package policies

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CompiledHardening is spec.mutate.hardening.
//
// +kubebuilder:object:generate=false
type CompiledHardening struct {
	CompiledMutator

	fields []HardeningField
}

// Sets tells whether the policy has a field set.
func (h *CompiledHardening) Sets(f HardeningField) bool { return slices.Contains(h.fields, f) }

func (b *builder) hardening(path *field.Path, hardening *Hardening) *CompiledHardening {
	return &CompiledHardening{
		CompiledMutator: b.mutator(path, &hardening.MutatorSettings),
		fields:          b.hardeningFields(path.Child("fields"), hardening.Fields),
	}
}

func (b *builder) hardeningFields(path *field.Path, fields []HardeningField) []HardeningField {
	if len(fields) == 0 {
		b.refuse(path, "is empty; name the fields that are to be set, or leave it out for the default ones")
	}
	if !b.atMost(path, len(fields), len(HardeningFields())) {
		return nil
	}
	for i, f := range fields {
		oneOf(b, path.Index(i), f, "a field", HardeningFields())
		if slices.Contains(fields[:i], f) {
			b.refuse(path.Index(i), "%s is listed twice", quote(string(f)))
		}
	}
	return fields
}

func defaultHardening(h *Hardening) {
	if h.Fields == nil {
		h.Fields = defaultHardeningFields()
	}
}

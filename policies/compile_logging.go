package policies

import "k8s.io/apimachinery/pkg/util/validation/field"

// CompiledLogging is spec.mutate.logging.
//
// +kubebuilder:object:generate=false
type CompiledLogging struct{ CompiledMutator }

// CompiledLoggingRequirement is spec.validate.logging.
//
// +kubebuilder:object:generate=false
type CompiledLoggingRequirement struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
}

func (b *builder) logging(path *field.Path, logging *LoggingInjection) *CompiledLogging {
	return &CompiledLogging{CompiledMutator: b.mutator(path, &logging.MutatorSettings)}
}

func (b *builder) loggingRequirement(path *field.Path, logging *LoggingRequirement) *CompiledLoggingRequirement {
	return &CompiledLoggingRequirement{Mode: b.ruleMode(path.Child("mode"), logging.Mode)}
}

func defaultLogging(*LoggingInjection) {}

package policies

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CompiledProbes is spec.mutate.probes.
//
// +kubebuilder:object:generate=false
type CompiledProbes struct {
	CompiledMutator

	// HealthService tells whether a port named grpc is asked for its health; else a connection is all.
	HealthService bool
	// Catalog are the probes by image: the policy's, then those that are shipped.
	Catalog *ProbeCatalog

	sources      []ProbeSource
	restarting   []LivenessSource
	withoutShell []ImagePattern
}

// Uses tells whether a probe may come from a source.
func (p *CompiledProbes) Uses(s ProbeSource) bool { return slices.Contains(p.sources, s) }

// MayRestart tells whether a liveness or a startup probe may come from a source.
func (p *CompiledProbes) MayRestart(s ProbeSource) bool {
	return p.Uses(s) && slices.Contains(p.restarting, LivenessSource(s))
}

// WithoutShell tells whether the policy lists an image, by its canonical name, as one without /bin/sh.
func (p *CompiledProbes) WithoutShell(name string) bool {
	return slices.ContainsFunc(p.withoutShell, func(pattern ImagePattern) bool { return pattern.Match(name) })
}

// CompiledProbeRequirement is spec.validate.probes.
//
// +kubebuilder:object:generate=false
type CompiledProbeRequirement struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// Require are the probes that every long-running container must have.
	Require []ProbeKind
}

// ProbeSet are the probes of one container; nil where there is none of a kind.
//
// +kubebuilder:object:generate=false
type ProbeSet struct{ Readiness, Liveness, Startup *corev1.Probe }

// Of is the probe of one kind.
func (s *ProbeSet) Of(kind ProbeKind) *corev1.Probe { return *s.At(kind) }

// At is the place of the probe of one kind.
func (s *ProbeSet) At(kind ProbeKind) **corev1.Probe {
	switch kind {
	case Liveness:
		return &s.Liveness
	case Startup:
		return &s.Startup
	default:
		return &s.Readiness
	}
}

func (b *builder) probes(path *field.Path, probes *ProbeInjection) *CompiledProbes {
	if len(probes.Sources) == 0 {
		b.refuse(path.Child("sources"), "is empty; name the sources, or leave it out for all")
	}
	return &CompiledProbes{
		CompiledMutator: b.mutator(path, &probes.MutatorSettings),
		sources:         someOf(b, path.Child("sources"), probes.Sources, "a source", ProbeSources()),
		restarting:      someOf(b, path.Child("livenessSources"), probes.LivenessSources, "a source of liveness probes", LivenessSources()),
		HealthService:   oneOf(b, path.Child("grpcPorts"), probes.GRPCPorts, "a probe of a port", GRPCPortProbes()) == GRPCPortHealth,
		Catalog:         b.probeCatalog(path, probes),
		withoutShell:    b.images(path.Child("imagesWithoutShell"), probes.ImagesWithoutShell),
	}
}

func (b *builder) probeRequirement(path *field.Path, probes *ProbeRequirement) *CompiledProbeRequirement {
	return &CompiledProbeRequirement{
		Mode:    b.ruleMode(path.Child("mode"), probes.Mode),
		Require: someOf(b, path.Child("require"), probes.Require, "a probe", ProbeKinds()),
	}
}

// someOf returns list, whose values must each be one of allowed and stand there once. The noun carries its article.
func someOf[T ~string](b *builder, path *field.Path, list []T, noun string, allowed []T) []T {
	if !b.atMost(path, len(list), len(allowed)) {
		return nil
	}
	for i, value := range list {
		oneOf(b, path.Index(i), value, noun, allowed)
		if slices.Contains(list[:i], value) {
			b.refuse(path.Index(i), "%s is listed twice", quote(string(value)))
		}
	}
	return list
}

func defaultProbes(p *ProbeInjection) {
	if p.Sources == nil {
		p.Sources = ProbeSources()
	}
	if p.LivenessSources == nil {
		p.LivenessSources = []LivenessSource{LivenessFromAnnotation, LivenessFromCatalog}
	}
	p.GRPCPorts = cmp.Or(p.GRPCPorts, GRPCPortHealth)
	p.DefaultCatalog = cmp.Or(p.DefaultCatalog, CatalogInclude)
}

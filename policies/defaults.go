package policies

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultMaxException is spec.exceptions.maxDuration of a policy that does not set it.
const defaultMaxException = 720 * time.Hour

// Default fills in what p leaves out, as the API server does from the CRD. Mode of a rule stays unset: it means the policy's.
func Default(p *PodPolicy) {
	spec := &p.Spec
	spec.Mode = cmp.Or(spec.Mode, ModeEnforce)
	spec.OnRegistryError = cmp.Or(spec.OnRegistryError, RegistryErrorDeny)
	spec.ExistingViolations = cmp.Or(spec.ExistingViolations, ExistingViolationsAllow)
	if exceptions := &spec.Exceptions; exceptions.Allowed == nil {
		allowed := true
		exceptions.Allowed = &allowed
	}
	if spec.Exceptions.MaxDuration == nil {
		spec.Exceptions.MaxDuration = &metav1.Duration{Duration: defaultMaxException}
	}
	if glass := spec.BreakGlass; glass != nil && glass.MaxDuration == nil {
		glass.MaxDuration = &metav1.Duration{Duration: defaultBreakGlass}
	}
	for _, settings := range mutatorSettings(&spec.Mutate) {
		settings.SkipAnnotation = cmp.Or(settings.SkipAnnotation, SkipAnnotationIgnore)
	}
	if probes := spec.Mutate.Probes; probes != nil {
		defaultProbes(probes)
	}
	if logging := spec.Mutate.Logging; logging != nil {
		defaultLogging(logging)
	}
	if hardening := spec.Mutate.Hardening; hardening != nil {
		defaultHardening(hardening)
	}
	if ps := spec.Validate.PodSecurity; ps != nil {
		ps.Version = cmp.Or(ps.Version, "latest")
		ps.NamespaceLabels = cmp.Or(ps.NamespaceLabels, NamespaceLabelsHonor)
		ps.Templates = cmp.Or(ps.Templates, TemplatesDeny)
	}
	if user := spec.Validate.RootUser; user != nil {
		user.Version = cmp.Or(user.Version, "latest")
	}
	defaultExpressions(spec.Validate.Expressions)
	if digests := spec.Validate.Digests; digests != nil && digests.Require == nil {
		require := true
		digests.Require = &require
	}
}

// mutatorSettings are those of the sections that are there.
func mutatorSettings(spec *MutateSpec) []*MutatorSettings {
	var all []*MutatorSettings
	if spec.Digests != nil {
		all = append(all, &spec.Digests.MutatorSettings)
	}
	if spec.Probes != nil {
		all = append(all, &spec.Probes.MutatorSettings)
	}
	if spec.Logging != nil {
		all = append(all, &spec.Logging.MutatorSettings)
	}
	if spec.Hardening != nil {
		all = append(all, &spec.Hardening.MutatorSettings)
	}
	return all
}

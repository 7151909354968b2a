package policies

import "cmp"

// Default fills in what p leaves out, as the API server does from the CRD. Mode of a rule stays unset: it means the policy's.
func Default(p *PodPolicy) {
	spec := &p.Spec
	spec.Mode = cmp.Or(spec.Mode, ModeEnforce)
	spec.OnRegistryError = cmp.Or(spec.OnRegistryError, RegistryErrorDeny)
	spec.ExistingViolations = cmp.Or(spec.ExistingViolations, ExistingViolationsAllow)
	if ps := spec.Validate.PodSecurity; ps != nil {
		ps.Version = cmp.Or(ps.Version, "latest")
		ps.NamespaceLabels = cmp.Or(ps.NamespaceLabels, NamespaceLabelsHonor)
		ps.Templates = cmp.Or(ps.Templates, TemplatesDeny)
	}
	if user := spec.Validate.RootUser; user != nil {
		user.Version = cmp.Or(user.Version, "latest")
	}
	if digests := spec.Validate.Digests; digests != nil && digests.Require == nil {
		require := true
		digests.Require = &require
	}
}

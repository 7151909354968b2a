package policies

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// CompiledPodSecurity is spec.validate.podSecurity.
//
// +kubebuilder:object:generate=false
type CompiledPodSecurity struct {
	// Mode is the rule's own mode, or nil. It is about findings of Level; labels have modes of their own.
	Mode *Mode
	// Level is the level and version that every pod must meet, or nil: then only the labels of the namespace are judged.
	Level *psapi.LevelVersion
	// HonorLabels tells whether the Pod Security labels of the namespace count.
	HonorLabels bool
	// Templates says what an enforced finding in a pod template does.
	Templates TemplateAction
	// Exemptions are about findings of Level, not of labels.
	Exemptions []CompiledExemption
}

// CompiledExemption is an entry of spec.validate.podSecurity.exemptions.
//
// +kubebuilder:object:generate=false
type CompiledExemption struct {
	checks     []string
	containers []Glob
	images     []ImagePattern
}

// Covers tells whether a check's finding about a container is exempt. The check is upstream's id; the image is a canonical name without
// tag and digest, as image.Reference.Name makes it, or "" when it is not known, which only exemptions without images cover.
func (e CompiledExemption) Covers(check pspolicy.CheckID, container, image string) bool {
	return slices.Contains(e.checks, string(check)) &&
		(len(e.containers) == 0 || anyMatches(e.containers, container)) &&
		(len(e.images) == 0 || slices.ContainsFunc(e.images, func(p ImagePattern) bool { return p.Match(image) }))
}

func (b *builder) podSecurity(path *field.Path, ps *PodSecurity) *CompiledPodSecurity {
	compiled := &CompiledPodSecurity{
		Mode:        b.ruleMode(path.Child("mode"), ps.Mode),
		Level:       b.level(path, ps),
		HonorLabels: oneOf(b, path.Child("namespaceLabels"), ps.NamespaceLabels, "a way to treat labels", AllNamespaceLabels()) == NamespaceLabelsHonor,
		Templates:   oneOf(b, path.Child("templates"), ps.Templates, "an action", TemplateActions()),
	}
	unset := ps.Level == ""
	if ps.NamespaceLabels == NamespaceLabelsIgnore && (unset || ps.Level == psapi.LevelPrivileged) {
		b.refuse(path, "judges nothing; set level to baseline or restricted, or namespaceLabels to Honor")
	}
	if unset && len(ps.Exemptions) > 0 {
		b.refuse(path.Child("exemptions"), "belong to level, and none is set; set a level, or leave exemptions out")
	}
	if !b.atMost(path.Child("exemptions"), len(ps.Exemptions), 64) {
		return compiled
	}
	for i := range ps.Exemptions {
		at := path.Child("exemptions").Index(i)
		compiled.Exemptions = append(compiled.Exemptions, b.exemption(at, &ps.Exemptions[i]))
		b.checks(at.Child("checks"), ps.Exemptions[i].Checks, compiled.Level)
	}
	return compiled
}

// level is nil when none is set, and when the one that is set is not valid.
func (b *builder) level(path *field.Path, ps *PodSecurity) *psapi.LevelVersion {
	version, ok := b.version(path.Child("version"), ps.Version)
	if ps.Level == "" {
		if ok && !version.Latest() {
			b.refuse(path.Child("version"), "%s belongs to level, and none is set; set a level, or leave version out", quote(ps.Version))
		}
		return nil
	}
	level, levelErr := psapi.ParseLevel(string(ps.Level))
	if levelErr != nil {
		b.refuse(path.Child("level"), "%s is not a level; use privileged, baseline or restricted", quote(string(ps.Level)))
	}
	if !ok || levelErr != nil {
		return nil
	}
	return &psapi.LevelVersion{Level: level, Version: version}
}

func (b *builder) exemption(path *field.Path, e *PodSecurityExemption) CompiledExemption {
	if len(e.Containers)+len(e.Images) == 0 {
		b.refuse(path, "covers no container; name them by containers, images or both")
	}
	return CompiledExemption{
		checks:     e.Checks,
		containers: b.globs(path.Child("containers"), e.Containers),
		images:     b.images(path.Child("images"), e.Images),
	}
}

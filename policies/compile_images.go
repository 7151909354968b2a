package policies

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	psapi "k8s.io/pod-security-admission/api"
)

// CompiledRootUser is spec.validate.rootUser.
//
// +kubebuilder:object:generate=false
type CompiledRootUser struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// Version is the one whose Pod Security Standards count: from v1.35 on they let a pod with hostUsers: false run as root.
	Version psapi.Version
}

// CompiledDigestRequirement is spec.validate.digests.
//
// +kubebuilder:object:generate=false
type CompiledDigestRequirement struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// Require tells whether every image must be named by digest.
	Require bool
	// ForbidTags are the tags that no image may have, with or without a digest after them.
	ForbidTags []string
}

// CompiledRegistries is spec.validate.registries.
//
// +kubebuilder:object:generate=false
type CompiledRegistries struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// Allow are the images that may run; empty: all that Deny does not match.
	Allow []ImagePattern
	// Deny are the images that may not run, whatever Allow says.
	Deny []ImagePattern
}

func (b *builder) rootUser(path *field.Path, user *RootUser) *CompiledRootUser {
	mode := b.ruleMode(path.Child("mode"), user.Mode)
	version, _ := b.version(path.Child("version"), user.Version)
	return &CompiledRootUser{Mode: mode, Version: version}
}

func (b *builder) digestRequirement(path *field.Path, digests *DigestRequirement) *CompiledDigestRequirement {
	compiled := &CompiledDigestRequirement{
		Mode:       b.ruleMode(path.Child("mode"), digests.Mode),
		Require:    digests.Require == nil || *digests.Require,
		ForbidTags: b.tags(path.Child("forbidTags"), digests.ForbidTags),
	}
	if !compiled.Require && len(digests.ForbidTags) == 0 {
		b.refuse(path, "judges nothing; set require to true, or name tags in forbidTags")
	}
	return compiled
}

// tagForm is that of https://pkg.go.dev/github.com/distribution/reference.
var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func (b *builder) tags(path *field.Path, tags []string) []string {
	if !b.atMost(path, len(tags), 64) {
		return nil
	}
	for i, tag := range tags {
		switch {
		case !tagForm.MatchString(tag):
			b.refuse(path.Index(i), "%s is not a tag; tags are up to 128 letters, digits and _ . - (. and - not first); there are no globs, write each tag out", quote(tag))
		case slices.Contains(tags[:i], tag):
			b.refuse(path.Index(i), "%s is listed twice", quote(tag))
		}
	}
	return tags
}

func (b *builder) registries(path *field.Path, registries *Registries) *CompiledRegistries {
	compiled := &CompiledRegistries{
		Mode:  b.ruleMode(path.Child("mode"), registries.Mode),
		Allow: b.images(path.Child("allow"), registries.Allow),
		Deny:  b.images(path.Child("deny"), registries.Deny),
	}
	if len(registries.Allow)+len(registries.Deny) == 0 {
		b.refuse(path, "judges nothing; name images in allow, deny or both")
	}
	for i, allowed := range compiled.Allow {
		at := path.Child("allow").Index(i)
		if allowed.text == everyImage && len(registries.Deny) == 0 {
			b.refuse(at, "%s allows every image; name the registries, or images in deny", quote(allowed.text))
		}
		covers := func(denied ImagePattern) bool { return denied.Covers(allowed) }
		if j := slices.IndexFunc(compiled.Deny, covers); j >= 0 {
			b.refuse(at, "%s never counts: %s in deny refuses all of it", quote(registries.Allow[i]), quote(registries.Deny[j]))
		}
	}
	return compiled
}

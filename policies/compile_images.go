package policies

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	psapi "k8s.io/pod-security-admission/api"
)

// CompiledDigests is spec.mutate.digests.
//
// +kubebuilder:object:generate=false
type CompiledDigests struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode

	owners []ownerGlob
}

// OwnedBy tells whether the policy lists a controller, so that the Pods it owns may be pinned. The nine built-in kinds need no listing, and
// the core group, "", has no others: the answer is no for it.
func (d *CompiledDigests) OwnedBy(group, kind string) bool {
	return d != nil && group != "" && slices.ContainsFunc(d.owners, func(g ownerGlob) bool { return g.match(group, kind) })
}

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

// ownerGlob matches the group and the kind of a controller. The zero value matches nothing.
type ownerGlob struct{ group, kind string }

func (g ownerGlob) match(group, kind string) bool {
	return g != (ownerGlob{}) && matchStars(g.group, group) && matchStars(g.kind, kind)
}

func (b *builder) digests(path *field.Path, digests *DigestPinning) *CompiledDigests {
	return &CompiledDigests{
		Mode:   b.ruleMode(path.Child("mode"), digests.Mode),
		owners: b.owners(path.Child("owners"), digests.Owners),
	}
}

var (
	// A group is a DNS subdomain (RFC 1123) and a kind, in lower case, a DNS label: CustomResourceDefinitions have to.
	groupForm = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?(\.[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)*$`)
	kindForm  = regexp.MustCompile(`^[A-Z*]([-A-Za-z0-9*]*[A-Za-z0-9*])?$`)
)

func (b *builder) owners(path *field.Path, list []string) []ownerGlob {
	if !b.atMost(path, len(list), 64) {
		return nil
	}
	const longest = 253 + len("/") + longestName
	owners := make([]ownerGlob, 0, len(list))
	for i, text := range list {
		group, kind, _ := strings.Cut(text, "/")
		owner := ownerGlob{group: group, kind: kind}
		switch {
		case len(text) > longest || !groupForm.MatchString(group) || !kindForm.MatchString(kind):
			b.refuse(path.Index(i), "%s is not GROUP/KIND; write it as in argoproj.io/Rollout, without a version; * stands for any run of characters", quote(text))
			owner = ownerGlob{}
		case group == "apps" || group == "batch":
			b.refuse(path.Index(i), "%s is built in, and its Pods are pinned in any case; leave it out", quote(text))
		case slices.Contains(owners, owner):
			b.refuse(path.Index(i), "%s is listed twice", quote(text))
		}
		owners = append(owners, owner)
	}
	return owners
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

package policies

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CompiledMutator is what every section of spec.mutate has.
//
// +kubebuilder:object:generate=false
type CompiledMutator struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// HonorSkip tells whether a pod template can leave the repair out.
	HonorSkip bool

	owners []ownerGlob
}

// OwnedBy tells whether the policy lists a controller, so that the Pods it owns may be repaired. The nine built-in kinds need no listing,
// and the core group, "", has no others: the answer is no for it.
func (m *CompiledMutator) OwnedBy(group, kind string) bool {
	return group != "" && slices.ContainsFunc(m.owners, func(g ownerGlob) bool { return g.match(group, kind) })
}

// CompiledDigests is spec.mutate.digests.
//
// +kubebuilder:object:generate=false
type CompiledDigests struct{ CompiledMutator }

// ownerGlob matches the group and the kind of a controller. The zero value matches nothing.
type ownerGlob struct{ group, kind string }

func (g ownerGlob) match(group, kind string) bool {
	return g != (ownerGlob{}) && matchStars(g.group, group) && matchStars(g.kind, kind)
}

func (b *builder) digests(path *field.Path, digests *DigestPinning) *CompiledDigests {
	return &CompiledDigests{b.mutator(path, &digests.MutatorSettings)}
}

func (b *builder) mutator(path *field.Path, settings *MutatorSettings) CompiledMutator {
	skip := oneOf(b, path.Child("skipAnnotation"), settings.SkipAnnotation, "an action", AllSkipAnnotations())
	return CompiledMutator{
		Mode:      b.ruleMode(path.Child("mode"), settings.Mode),
		HonorSkip: skip == SkipAnnotationHonor,
		owners:    b.owners(path.Child("owners"), settings.Owners),
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
			b.refuse(path.Index(i), "%s is built in, and its Pods are repaired in any case; leave it out", quote(text))
		case slices.Contains(owners, owner):
			b.refuse(path.Index(i), "%s is listed twice", quote(text))
		}
		owners = append(owners, owner)
	}
	return owners
}

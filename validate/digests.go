package validate

import (
	"fmt"
	"slices"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// DigestsRule is the key of the section that this file judges.
const DigestsRule = "digests"

// The checks of DigestsRule.
const (
	digestRequired = "required"
	digestTag      = "forbiddenTag"
)

// Digests finds images that are named by tag alone, and those with a tag that the
// policy forbids. A tag can stand for another image tomorrow, or on the next
// node, than it does today. It judges what mutate.digests left, since another
// webhook may have run after that one.
//
// Beside a digest a tag is a comment, the runtime pulls by digest; a forbidden
// tag is found there too, because it is what people read.
func Digests(w *pod.Workload, s *policies.CompiledDigestRequirement) []pod.Finding {
	var findings []pod.Finding
	for i := range w.Images() {
		ref, err := image.ParseReference(*i.Reference)
		if err != nil {
			findings = append(findings, invalidImage(DigestsRule, digestRequired, i))
			continue
		}
		if s.Require && ref.Digest() == "" {
			findings = append(findings, imageFinding(i, pod.Finding{
				Rule: DigestsRule, Check: digestRequired,
				Message: "it has no digest, so that it may be another image tomorrow",
				Fix:     "add the digest of the image (@sha256:...), or let mutate.digests add it",
			}))
		}
		if slices.Contains(s.ForbidTags, ref.Tag()) {
			findings = append(findings, imageFinding(i, pod.Finding{
				Rule: DigestsRule, Check: digestTag,
				Message: fmt.Sprintf("it has the tag %q, which the policy forbids", ref.Tag()),
				Fix:     "use the tag of a version",
			}))
		}
	}
	return findings
}

// imageFinding completes a finding about one image place.
func imageFinding(i pod.Image, f pod.Finding) pod.Finding {
	f.Path, f.Value = i.Path(), *i.Reference
	if i.Container != nil {
		f.Container = i.Name
	}
	return f
}

// invalidImage is the finding about what a kubelet refuses to parse. To pass over
// it would be the way around the rule: other software may read it differently.
func invalidImage(rule, check string, i pod.Image) pod.Finding {
	return imageFinding(i, pod.Finding{
		Rule: rule, Check: check,
		Message: "a kubelet does not accept it as an image reference",
		Fix:     "write it as [registry/]repository[:tag][@sha256:digest]",
	})
}

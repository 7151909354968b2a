package validate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// RegistriesRule is the key of the section that this file judges.
const RegistriesRule = "registries"

// The checks of RegistriesRule.
const (
	registryNotAllowed = "notAllowed"
	registryDenied     = "denied"
)

// Registries finds images from where the policy does not let them come. Patterns
// are held against the canonical name, component by component, so that no other
// spelling of a registry (upper case, index.docker.io, :443) and no registry with
// a similar name gets past them. A denied image is denied although it is allowed
// too.
func Registries(w *pod.Workload, s *policies.CompiledRegistries) []pod.Finding {
	var findings []pod.Finding
	for i := range w.Images() {
		ref, err := image.ParseReference(*i.Reference)
		if err != nil {
			findings = append(findings, invalidImage(RegistriesRule, registryNotAllowed, i))
			continue
		}
		matches := func(p policies.ImagePattern) bool { return p.Match(ref.Name()) }
		switch {
		case slices.ContainsFunc(s.Deny, matches):
			findings = append(findings, imageFinding(i, pod.Finding{
				Rule: RegistriesRule, Check: registryDenied,
				Message: fmt.Sprintf("it comes from %s, which the policy denies", ref.Name()),
				Fix:     "use an image from elsewhere",
			}))
		case len(s.Allow) > 0 && !slices.ContainsFunc(s.Allow, matches):
			findings = append(findings, imageFinding(i, pod.Finding{
				Rule: RegistriesRule, Check: registryNotAllowed,
				Message: fmt.Sprintf("it comes from %s, which the policy does not allow", ref.Name()),
				Fix:     "use an image that matches " + alternatives(s.Allow),
			}))
		}
	}
	return findings
}

// maxAlternatives bounds the patterns that a fix lists.
const maxAlternatives = 5

func alternatives(patterns []policies.ImagePattern) string {
	var texts []string
	for _, p := range patterns {
		texts = append(texts, p.String())
	}
	if more := len(texts) - maxAlternatives; more > 0 {
		texts = append(texts[:maxAlternatives], fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

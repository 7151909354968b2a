package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
)

// TestSkip holds who may leave a mutator out, and that it is told.
func TestSkip(t *testing.T) {
	const (
		at     = ` spec.template.metadata.annotations["portcullis.dev/skip"]`
		left   = "it leaves this mutator out"
		policy = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: %s}
spec: {mode: %s, mutate: {digests: {skipAnnotation: %s}, hardening: {fields: [seccompProfile], skipAnnotation: %s}}}
`
	)
	honored := fmt.Sprintf(policy, "p", "Enforce", "Honor", "Honor")
	ignored := fmt.Sprintf(policy, "p", "Enforce", "Ignore", "Ignore")
	for _, test := range []struct {
		name, policies, annotation string
		edits                      []string // rules
		proposed                   []string
		findings                   []string
	}{
		{name: "one of two", policies: honored, annotation: "hardening", edits: []string{"digests"}, findings: []string{"Audit p hardening/skipped" + at + ": " + left}},
		{
			name: "a list with blanks", policies: honored, annotation: " hardening , digests",
			findings: []string{"Audit p digests/skipped" + at + ": " + left, "Audit p hardening/skipped" + at + ": " + left},
		},
		{
			name: "a policy that does not let it", policies: ignored, annotation: "hardening", edits: []string{"digests", "hardening"},
			findings: []string{"Warn p hardening/skipped" + at + ": policy p does not let a workload leave hardening out"},
		},
		{
			name: "names that there are not", policies: honored, annotation: "Hardening,sidecars,", edits: []string{"digests", "hardening"},
			findings: []string{"Warn p mutate/skipped" + at + `: there is no mutator "Hardening", "sidecars", ""`},
		},
		{name: "a mutator that no policy has", policies: honored, annotation: "probes", edits: []string{"digests", "hardening"}},
		{
			name: "a policy that watches", policies: fmt.Sprintf(policy, "p", "Audit", "Ignore", "Honor"), annotation: "hardening,digests",
			findings: []string{
				"Audit p hardening/skipped" + at + ": " + left,
				"Audit p digests/ spec.template.spec.containers[0].image: it names a tag, which may stand for another image tomorrow",
				"Audit p digests/skipped" + at + ": policy p does not let a workload leave digests out",
			},
		},
		{
			name: "one policy lets it and another does not", annotation: "hardening",
			policies: strings.Join([]string{fmt.Sprintf(policy, "a", "Enforce", "Honor", "Honor"), fmt.Sprintf(policy, "b", "Enforce", "Honor", "Ignore")}, "---\n"),
			edits:    []string{"digests", "hardening"},
			findings: []string{"Warn b hardening/skipped" + at + ": policy b does not let a workload leave hardening out"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := decode(t, fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/skip: "digests,hardening,nobody-reads-this-one"}}
spec: {template: {metadata: {annotations: {portcullis.dev/skip: %q}}, spec: {containers: [{name: app, image: "app:1"}]}}}
`, test.annotation))
			p := plan(t, compile(t, test.policies), Review{Workload: w})
			v := p.Mutate(image.Facts{"app:1": linuxImage(image.Platform{})})
			if diff := cmp.Diff(test.edits, rulesOf(v.Edits)); diff != "" {
				t.Errorf("rules with edits (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.proposed, rulesOf(v.Proposed)); diff != "" {
				t.Errorf("rules with proposed edits (-want +got):\n%s", diff)
			}
			var got []string
			for i, line := range summary(v) {
				got = append(got, line+": "+v.Findings[i].Message)
				if f := v.Findings[i]; f.Check == checkSkipped && !f.Advisory {
					t.Errorf("%s may deny, want it advisory", line)
				}
			}
			if diff := cmp.Diff(test.findings, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, need := range p.MutationNeeds() {
				if len(test.edits) == 0 {
					t.Errorf("got a need for %s, want none for what is left out", need.Image)
				}
			}
			if v.Denied() {
				t.Error("got a denial, want none")
			}
		})
	}
}

// rulesOf are the rules of edits, each once, in their order. Those that digests
// makes to its own record do not count.
func rulesOf(edits []Edit) []string {
	var rules []string
	for _, e := range edits {
		if len(rules) == 0 || rules[len(rules)-1] != e.Rule {
			rules = append(rules, e.Rule)
		}
	}
	return rules
}

package policies

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const termPolicies = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: production}
spec: {validate: {podSecurity: {level: baseline}, rootUser: {}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: closed}
spec: {mutate: {digests: {}}, exceptions: {allowed: false}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: short}
spec: {mutate: {digests: {}}, exceptions: {maxDuration: 1h30m}}
`

// loadWith loads an exception from a file beside the policies.
func loadWith(t *testing.T, terms ExceptionTerms, exception string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"policies.yaml": termPolicies, "exception.yaml": exception} {
		if err := os.WriteFile(filepath.Clean(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, exceptions, err := LoadAll(terms, "exception.yaml", "policies.yaml")
	if err != nil {
		return err.Error()
	}
	if len(list) != 3 || len(exceptions) != 1 {
		t.Errorf("got %d policies and %d exceptions, want 3 and 1", len(list), len(exceptions))
	}
	return ""
}

func TestExceptionTerms(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const at = "exception.yaml: document 1, line "
	for _, tc := range []struct {
		name, text string
		terms      ExceptionTerms
		want       []string
	}{
		{name: "good", text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [production]")},
		{name: "other namespaces", terms: ExceptionTerms{Namespaces: []string{"a", "b"}}, text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [production]"), want: []string{
			at + `3: metadata.namespace: exceptions in "portcullis-system" do not count; create it in a or b, or have the admin add the namespace to --exception-namespaces`,
		}},
		{name: "without a namespace", text: "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: e}\nspec: " + exceptionSpec("policies: [production]"), want: []string{
			at + `3: metadata.namespace: is missing; an exception counts in the namespaces only that the admin lists, by default portcullis-system`,
		}},
		{name: "all at once, each on its line", text: exceptionHead("e") + `spec:
  reason: because
  expiresAt: 2027-11-21T12:00:00Z
  policies:
  - prodution
  - closed
  - nowhere
  - production
  rules:
  - rule: validate.digests
  - rule: validate.podSecurity
    checks:
    - runAsNonRoot
  match:
    namespaces: [web]
    name: [x]
`, want: []string{
			at + `4: spec.owner: is missing; name the person or team that answers for the exception`,
			at + `19: spec.match.name: unknown field; did you mean names?`,
			at + `6: spec.expiresAt: 2027-11-21T12:00:00Z is later than policy "production" allows, 720h after its creation; write 2026-12-21T12:00:00Z or earlier`,
			at + `8: spec.policies[0]: "prodution" is not a policy in force; did you mean production?`,
			at + `9: spec.policies[1]: "closed" allows no exceptions (spec.exceptions.allowed is false)`,
			at + `10: spec.policies[2]: "nowhere" is not a policy in force; there are production, closed, short`,
			at + `13: spec.rules[0].rule: "validate.digests" is a rule of none of the policies named; use validate.podSecurity or validate.rootUser`,
			at + `16: spec.rules[1].checks[0]: "runAsNonRoot" is not evaluated: it belongs to level restricted, and the level here is baseline`,
		}},
		{name: "expired on arrival", text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [production]", "expiresAt: 2026-11-21T12:00:00Z"), want: []string{
			at + `4: spec.expiresAt: 2026-11-21T12:00:00Z has passed, so that it would cover nothing; write a later time, or delete the exception`,
		}},
		{name: "expired, and started with before", terms: ExceptionTerms{Ended: true}, text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [production]", "expiresAt: 2026-11-21T12:00:00Z")},
		{name: "a second too long", text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [short]", "rules: [{rule: mutate.digests}]", "expiresAt: 2026-11-21T13:30:01Z"), want: []string{
			at + `4: spec.expiresAt: 2026-11-21T13:30:01Z is later than policy "short" allows, 1h30m after its creation; write 2026-11-21T13:30:00Z or earlier`,
		}},
		{name: "just not too long", text: exceptionHead("e") + "spec: " + exceptionSpec("policies: [short]", "rules: [{rule: mutate.digests}]", "expiresAt: 2026-11-21T13:30:00Z")},
		{name: "prolonged", text: strings.Replace(exceptionHead("e"), "name: e,", `name: e, creationTimestamp: "2026-10-01T00:00:00Z",`, 1) + "spec: " + exceptionSpec("policies: [production]"), want: []string{
			at + `4: spec.expiresAt: 2026-12-01T00:00:00Z is later than policy "production" allows, 720h after its creation; create another exception, and delete this one`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.terms.Now = now
			if diff := cmp.Diff(strings.Join(tc.want, "\n"), loadWith(t, tc.terms, tc.text)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadKeepsToPolicies requires that a caller of Load, which knows no exceptions, does not pass over one.
func TestLoadKeepsToPolicies(t *testing.T) {
	_, err := Load([]byte(exceptionHead("e")+"spec: "+exceptionSpec()), "e.yaml")
	const want = `e.yaml: document 1, line 2: kind: is "PolicyException", want PodPolicy`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDurationText(t *testing.T) {
	for text, d := range map[string]time.Duration{"720h": 720 * time.Hour, "1h30m": 90 * time.Minute, "5m": 5 * time.Minute, "30s": 30 * time.Second, "1h0m5s": time.Hour + 5*time.Second} {
		if got := durationText(d); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
}

package policies

import (
	"strings"
	"testing"
)

// TestHardeningSets holds which fields are set by default.
func TestHardeningSets(t *testing.T) {
	all := HardeningFields()
	for settings, want := range map[string]string{
		"{}": "allowPrivilegeEscalation capabilities seccompProfile runAsNonRoot runAsUser",
		"{fields: [readOnlyRootFilesystem, runAsUser]}": "runAsUser readOnlyRootFilesystem",
		"{fields: [" + strings.Join(words(all), ", ") + "]}": "allowPrivilegeEscalation capabilities seccompProfile runAsNonRoot runAsUser " +
			"automountServiceAccountToken readOnlyRootFilesystem",
	} {
		set := compileText(t, head("p")+"spec: {mutate: {hardening: "+settings+"}}")
		hardening := set.Matching(nil, Target{Namespace: "a"})[0].Policy.Hardening
		var got []string
		for _, f := range all {
			if hardening.Sets(f) {
				got = append(got, string(f))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got fields %v, want %s", settings, got, want)
		}
	}
}

func hardeningCases() []validationCase {
	const (
		at     = "spec.mutate.hardening"
		fields = "allowPrivilegeEscalation, capabilities, seccompProfile, runAsNonRoot, runAsUser, automountServiceAccountToken or readOnlyRootFilesystem"
	)
	spec := func(settings string) string { return `{mutate: {hardening: {` + settings + `}}}` }
	return []validationCase{
		{name: "hardening", spec: spec(``)},
		{name: "hardening, all settings", spec: spec(`mode: Audit, owners: [a.io/B], skipAnnotation: Honor, fields: [` + strings.ReplaceAll(fields, " or", ",") + `]`)},
		{name: "hardening, no field", spec: spec(`fields: []`), want: []string{at + `.fields: is empty; name the fields that are to be set, or leave it out for the default ones`}},
		{
			name: "hardening, other fields", spec: spec(`fields: [privileged, RunAsUser]`),
			want: []string{at + `.fields[0]: "privileged" is not a field; use ` + fields, at + `.fields[1]: "RunAsUser" is not a field; use ` + fields},
		},
		{name: "hardening, a field twice", spec: spec(`fields: [runAsUser, runAsUser]`), want: []string{at + `.fields[1]: "runAsUser" is listed twice`}},
		{
			name: "hardening, too many fields", spec: spec(`fields: [` + strings.Repeat("runAsUser, ", 8) + `]`),
			want: []string{at + `.fields: has 8 entries; 7 is the limit`},
		},
		{
			name: "hardening, bad words", spec: spec(`mode: Deny, skipAnnotation: "Yes"`),
			want: []string{at + `.skipAnnotation: "Yes" is not an action; use Honor or Ignore`, at + `.mode: "Deny" is not a mode; use Enforce, Warn or Audit`},
		},
	}
}

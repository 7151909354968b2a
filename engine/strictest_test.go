package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestStrictestWins is a table of what two policies and the exceptions from them
// make of one finding that both have. An exception from one policy leaves the mode
// of the other as it is, be it the stricter or the milder one.
func TestStrictestWins(t *testing.T) {
	const finding = " podSecurity/privileged spec.containers[0].securityContext.privileged"
	for _, test := range []struct {
		p, q, exempt string
		want         string
	}{
		{"Enforce", "Enforce", "", "Enforce p"},
		{"Enforce", "Warn", "", "Enforce p"},
		{"Enforce", "Audit", "", "Enforce p"},
		{"Warn", "Enforce", "", "Enforce q"},
		{"Warn", "Warn", "", "Warn p"},
		{"Warn", "Audit", "", "Warn p"},
		{"Audit", "Enforce", "", "Enforce q"},
		{"Audit", "Warn", "", "Warn q"},
		{"Audit", "Audit", "", "Audit p"},

		{"Enforce", "Enforce", "p", "Enforce q"},
		{"Enforce", "Enforce", "q", "Enforce p"},
		{"Enforce", "Enforce", "p, q", "Audit p exempt by e (would Enforce)"},
		{"Enforce", "Warn", "p", "Warn q"},
		{"Enforce", "Warn", "q", "Enforce p"},
		{"Enforce", "Warn", "p, q", "Audit p exempt by e (would Enforce)"},
		{"Enforce", "Audit", "p", "Audit q"},
		{"Enforce", "Audit", "q", "Enforce p"},
		{"Warn", "Enforce", "p", "Enforce q"},
		{"Warn", "Enforce", "q", "Warn p"},
		{"Warn", "Audit", "p", "Audit q"},
		{"Warn", "Audit", "p, q", "Audit p exempt by e (would Warn)"},
		{"Audit", "Enforce", "q", "Audit p"},
		{"Audit", "Audit", "q", "Audit p"},
	} {
		t.Run(fmt.Sprintf("p %s, q %s, exempt %s", test.p, test.q, test.exempt), func(t *testing.T) {
			of := func(name, mode string) string {
				return strings.NewReplacer("name: p", "name: "+name, "spec: {", "spec: {mode: "+mode+", ").Replace(policyP)
			}
			set := compile(t, of("p", test.p)+"---\n"+of("q", test.q))
			if test.exempt != "" {
				set = with(t, set, "e policies: ["+test.exempt+"]")
			}
			v := plan(t, set, Review{Workload: decode(t, privilegedPod), Now: exceptionsNow}).Validate(nil)
			mode, rest, _ := strings.Cut(test.want, " ")
			name, exemption, exempt := strings.Cut(rest, " ")
			want := mode + " " + name + finding
			if exempt {
				want += " " + exemption
			}
			if diff := cmp.Diff([]string{want}, exemptions(v)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if denied := mode == "Enforce"; v.Denied() != denied {
				t.Errorf("got denied %v, want %v", v.Denied(), denied)
			}
		})
	}
}

// TestExceptionFromOneLeavesItsOther is about modeOverrides and modes of rules too:
// the exception takes p out of the question, and q counts with the mode that it has
// in this namespace.
func TestExceptionFromOneLeavesItsOther(t *testing.T) {
	for q, want := range map[string]string{
		"{mode: Audit, validate: {podSecurity: {level: baseline, mode: Enforce}}}":                                                                   "Enforce",
		"{modeOverrides: [{namespaces: [web], mode: Warn}], validate: {podSecurity: {level: baseline}}}":                                             "Warn",
		"{modeOverrides: [{namespaces: [web], mode: Audit}], validate: {podSecurity: {level: baseline, mode: Enforce}}}":                             "Audit",
		"{mode: Warn, modeOverrides: [{namespaces: [we], mode: Audit}], validate: {podSecurity: {level: baseline}}}":                                 "Warn",
		"{mode: Warn, modeOverrides: [{namespaces: ['w*'], mode: Enforce}], validate: {podSecurity: {level: baseline, templates: Warn}}}":            "Enforce",
		"{mode: Enforce, exceptions: {allowed: false}, modeOverrides: [{namespaces: [x], mode: Audit}], validate: {podSecurity: {level: baseline}}}": "Enforce",
	} {
		set := with(t, compile(t, policyP+"---\napiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: q}\nspec: "+q+"\n"), "e")
		v := plan(t, set, Review{Workload: decode(t, privilegedPod), Now: exceptionsNow}).Validate(nil)
		if len(v.Findings) != 1 || string(v.Findings[0].Mode) != want || v.Findings[0].Policy != "q" || v.Findings[0].Exempt != nil {
			t.Errorf("%s: got %v, want %s by q", q, exemptions(v), want)
		}
	}
}

// TestMutatorOrder is a table of who comes first: the mutators in their order, and
// for each of them the policies by name, whatever the order in which they are read.
func TestMutatorOrder(t *testing.T) {
	const all = "mutate: {digests: {}, probes: {sources: [OnlyPort], livenessSources: []}, logging: {env: [{name: LEVEL, value: %q}]}, hardening: {fields: [allowPrivilegeEscalation]}}"
	const manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: app, image: 'app:1', ports: [{containerPort: 80}]}]}}}\n"
	policy := func(name, spec string) string {
		return "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
	}
	for _, test := range []struct {
		name     string
		policies []string
		want     []string // POLICY RULE of each change of a rule, in order
		level    string
	}{
		{"one policy", []string{policy("p", fmt.Sprintf(all, "p"))}, []string{"p digests", "p probes", "p logging", "p hardening"}, "p"},
		{"two that set the same", []string{policy("b", fmt.Sprintf(all, "b")), policy("a", fmt.Sprintf(all, "a"))}, []string{"a digests", "a probes", "a logging", "a hardening"}, "a"},
		{
			"each has a part",
			[]string{policy("c", "mutate: {digests: {}}"), policy("b", "mutate: {hardening: {fields: [allowPrivilegeEscalation]}}"), policy("a", "mutate: {logging: {env: [{name: LEVEL, value: a}]}}")},
			[]string{"c digests", "a logging", "b hardening"},
			"a",
		},
		{"names are compared as text", []string{policy("p2", fmt.Sprintf(all, "p2")), policy("p10", fmt.Sprintf(all, "p10"))}, []string{"p10 digests", "p10 probes", "p10 logging", "p10 hardening"}, "p10"},
		{"one that watches sets nothing", []string{policy("b", fmt.Sprintf(all, "b")), policy("a", "mode: Warn, "+fmt.Sprintf(all, "a"))}, []string{"b digests", "b probes", "b logging", "b hardening"}, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := decode(t, manifest)
			v := plan(t, compile(t, strings.Join(test.policies, "---\n")), Review{Workload: w}).Mutate(image.Facts{"app:1": linuxImage(image.Platform{})})
			var got []string
			for _, e := range v.Edits {
				if line := e.Policy + " " + e.Rule; len(got) == 0 || got[len(got)-1] != line {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			for c := range w.Containers() {
				if len(c.Env) != 1 || c.Env[0].Value != test.level {
					t.Errorf("got env %v, want LEVEL=%s alone", c.Env, test.level)
				}
			}
		})
	}
}

// TestModesAreOrdered is what strictest rests on.
func TestModesAreOrdered(t *testing.T) {
	modes := []policies.Mode{policies.ModeEnforce, policies.ModeWarn, policies.ModeAudit}
	for i, a := range modes {
		for j, b := range modes {
			if got, want := a.StricterThan(b), i < j; got != want {
				t.Errorf("%s stricter than %s: got %v, want %v", a, b, got, want)
			}
		}
	}
}

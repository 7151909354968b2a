package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

const glassPolicies = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: passable}
spec: {validate: {podSecurity: {level: baseline}}, breakGlass: {groups: [oncall]}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: strict}
spec: {match: {namespaces: [strict]}, validate: {podSecurity: {level: baseline}}}
`

// TestBreakGlass holds who denies what asks for passing: of two policies that find
// the same, both.
func TestBreakGlass(t *testing.T) {
	const object = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: shop%s}\nspec: {template: {metadata: {%s}, spec: {hostNetwork: %s, containers: [{name: a, image: x}]}}}"
	const annotation = `annotations: {portcullis.dev/break-glass: "the shop is down"}`
	for _, test := range []struct {
		name, namespace, own, template, hostNetwork string
		reason                                      string
		enforcing                                   []string
		passed                                      bool
	}{
		{name: "in the template", namespace: "shop", template: annotation, hostNetwork: "true", reason: "the shop is down", enforcing: []string{"passable"}, passed: true},
		{name: "on the object", namespace: "shop", own: ", " + annotation, hostNetwork: "true", reason: "the shop is down", enforcing: []string{"passable"}, passed: true},
		{name: "nothing is wrong", namespace: "shop", template: annotation, hostNetwork: "false", reason: "the shop is down"},
		{name: "nobody asks", namespace: "shop", hostNetwork: "true"},
		{name: "another policy says the same", namespace: "strict", template: annotation, hostNetwork: "true", reason: "the shop is down", enforcing: []string{"passable", "strict"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan(t, compile(t, glassPolicies), Review{Workload: decode(t, fmt.Sprintf(object, test.own, test.template, test.hostNetwork)), Namespace: Namespace{Name: test.namespace}})
			v := p.Validate(image.Facts{})
			if reason, _ := p.BreakGlass(); reason != test.reason {
				t.Errorf("got the reason %q, want %q", reason, test.reason)
			}
			if diff := cmp.Diff(test.enforcing, v.Enforcing); diff != "" {
				t.Errorf("enforcing (-want +got):\n%s", diff)
			}
			if len(test.enforcing) == 0 {
				return
			}
			glass := map[string]*Glass{}
			for _, policy := range v.Enforcing {
				if p.BreakGlassOf(policy) != nil {
					glass[policy] = &Glass{User: "ann", Reason: test.reason, Until: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
				}
			}
			if len(glass) == len(v.Enforcing) {
				v.Pass(glass)
			}
			if v.Denied() == test.passed {
				t.Errorf("got denied %v, want passed %v", v.Denied(), test.passed)
			}
			if !test.passed {
				return
			}
			if got, want := v.Findings[0].Glass.String(), `broken glass by "ann" until 2026-11-21T12:00:00Z, "the shop is down"`; got != want || v.Findings[0].Mode != policies.ModeAudit {
				t.Errorf("got %s, mode %s, want %s, mode Audit", got, v.Findings[0].Mode, want)
			}
		})
	}
}

// TestBreakGlassCost holds that who does not ask does not pay.
func TestBreakGlassCost(t *testing.T) {
	p := plan(t, compile(t, glassPolicies), Review{
		Workload:  decode(t, "kind: Pod\napiVersion: v1\nmetadata: {name: shop, annotations: {a: b}}\nspec: {hostNetwork: true, containers: [{name: a, image: x}]}"),
		Namespace: Namespace{Name: "shop"},
	})
	v := p.Validate(image.Facts{})
	if allocations := testing.AllocsPerRun(100, func() {
		if _, asked := p.BreakGlass(); asked {
			t.Error("nobody asks")
		}
		p.noteEnforcing(&v)
	}); allocations > 0 {
		t.Errorf("got %v allocations, want none", allocations)
	}
}

// TestBreakGlassIsNotThereToStay holds that an update of what somebody got past a
// policy is judged as if it were new, and that of what was there before as ever.
func TestBreakGlassIsNotThereToStay(t *testing.T) {
	const object = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: shop}\nspec: {template: {metadata: {annotations: {%s: \"the shop is down\"}}, spec: {hostNetwork: true, containers: [{name: a, image: %s}]}}}"
	for annotation, denied := range map[string]bool{BreakGlassAnnotation: true, "team": false} {
		v := plan(t, compile(t, glassPolicies), Review{
			Workload:  decode(t, fmt.Sprintf(object, "team", "next")),
			Old:       decode(t, fmt.Sprintf(object, annotation, "x")),
			Namespace: Namespace{Name: "shop"},
		}).Validate(image.Facts{})
		if v.Denied() != denied {
			t.Errorf("before it had the annotation %s: got denied %v, want %v", annotation, v.Denied(), denied)
		}
	}
}

// TestBreakGlassOfPodIsNotThereToStay takes the annotation off a Pod, which nobody
// asks us about, and changes its image then.
func TestBreakGlassOfPodIsNotThereToStay(t *testing.T) {
	const object = "kind: Pod\napiVersion: v1\nmetadata: {name: shop%s}\nspec: {hostNetwork: true, %scontainers: [{name: a, image: %s}]}"
	const without = "spec: {validate: {podSecurity: {level: baseline}}}"
	for _, test := range []struct {
		name, policies, labels, spec, image string
		denied                              bool
	}{
		{name: "another image", policies: glassPolicies, image: "next", denied: true},
		{name: "another image by a policy without break-glass", policies: "kind: PodPolicy\napiVersion: portcullis.dev/v1alpha1\nmetadata: {name: base}\n" + without, image: "next"},
		{name: "the same image", policies: glassPolicies, labels: ", labels: {a: b}", spec: "activeDeadlineSeconds: 9, ", image: "x"},
	} {
		v := plan(t, compile(t, test.policies), Review{
			Workload:  decode(t, fmt.Sprintf(object, test.labels, test.spec, test.image)),
			Old:       decode(t, fmt.Sprintf(object, "", "", "x")),
			Namespace: Namespace{Name: "shop"},
		}).Validate(image.Facts{})
		if v.Denied() != test.denied {
			t.Errorf("%s: got denied %v, want %v", test.name, v.Denied(), test.denied)
		}
	}
}

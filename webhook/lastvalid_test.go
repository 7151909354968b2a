package webhook

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/policies"
)

// inForceFrom is what a process that has just started has in force of one policy,
// and what its status would then be.
func inForceFrom(t *testing.T, p policies.PodPolicy) (rules int, version policyVersion) {
	t.Helper()
	c := &clusterPolicies{
		reader: &policyList{items: []policies.PodPolicy{p}}, metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler),
		seen: make(chan struct{}, 1), seenExceptions: make(chan struct{}, 1),
	}
	if err := c.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c.set().Len(), c.current.Load().versions[p.Name]
}

func TestLastValidVersionOutlivesTheProcess(t *testing.T) {
	p := podPolicy(t, "p", `{"registries":{"allow":["nginx:1"]}}`) // a tag, which the schema cannot refuse
	p.Generation = 5
	former := podPolicy(t, "p", `{"podSecurity":{"level":"baseline"},"rootUser":{}}`)
	former.Generation = 3
	policies.Default(&former)
	stored := policyVersion{lastValid: &former}.stored()
	for _, test := range []struct {
		name      string
		status    *policies.ValidVersion
		inForce   int64
		reason    string
		remembers bool
	}{
		{"never valid", nil, 0, policies.Invalid, false},
		{"valid before", stored, 3, policies.LastValidVersionInForce, true},
		{"no JSON", &policies.ValidVersion{Generation: 3, Spec: "{"}, 0, policies.Invalid, false},
		{"no version that this build takes", &policies.ValidVersion{Generation: 3, Spec: `{"mode":"Refuse"}`}, 0, policies.Invalid, false},
	} {
		p.Status.LastValid = test.status
		rules, version := inForceFrom(t, p)
		if want := min(test.inForce, 1); int64(rules) != want || version.inForce != test.inForce || version.ready().Reason != test.reason {
			t.Errorf("%s: got %d policies in force, generation %d, %s, want %d, %d, %s", test.name, rules, version.inForce, version.ready().Reason, want, test.inForce, test.reason)
		}
		if test.remembers {
			if diff := cmp.Diff(test.status, version.stored()); diff != "" {
				t.Errorf("%s: kept for the next process (-want +got):\n%s", test.name, diff)
			}
		}
	}

	valid := former
	valid.Status.LastValid = stored
	if _, version := inForceFrom(t, valid); version.stored() != nil {
		t.Errorf("a valid policy: got %+v kept, want nothing", version.stored())
	}
}

func TestLastValidVersionIsBounded(t *testing.T) {
	p := podPolicy(t, "p", `{"registries":{"allow":["`+strings.Repeat("a", maxStoredSpec)+`"]}}`)
	if got := (policyVersion{lastValid: &p}).stored(); got != nil {
		t.Errorf("got a version of %d bytes kept, want none", len(got.Spec))
	}
}

// TestLastValidVersionComesLater has a replica start before the status is written.
func TestLastValidVersionComesLater(t *testing.T) {
	p := podPolicy(t, "p", `{}`)
	p.Generation = 1
	changed := *p.DeepCopy()
	changed.Status.LastValid = &policies.ValidVersion{Generation: 1, Spec: "{}"}
	other := *p.DeepCopy()
	other.Status.Rules = 1
	if sameVersion(&p, &changed) {
		t.Error("got a version kept taken for no change, want it loaded")
	}
	if !sameVersion(&p, &other) {
		t.Error("got another status taken for a change, want it left alone")
	}
}

package webhook

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestEditsAreCounted counts what was set and what would be, apart, and nothing of
// what was refused.
func TestEditsAreCounted(t *testing.T) {
	edit := func(rule string, mode policies.Mode) engine.Edit {
		return engine.Edit{Edit: mutate.Edit{Reason: mutate.Reason{Rule: rule}}, Mode: mode}
	}
	made := []engine.Edit{
		edit("digests", policies.ModeEnforce), edit("digests", policies.ModeEnforce),
		edit("probes", policies.ModeEnforce), edit("digests", policies.ModeEnforce),
	}
	exempt := edit("hardening", policies.ModeAudit)
	exempt.Exempt = &engine.Exemption{}
	m := newMetrics(prometheus.NewRegistry())
	m.verdict(engine.Verdict{})
	m.verdict(engine.Verdict{Edits: made, Proposed: []engine.Edit{edit("hardening", policies.ModeAudit), exempt, edit("hardening", policies.ModeWarn)}})
	m.verdict(engine.Verdict{Edits: made, Findings: []engine.Finding{{Mode: policies.ModeEnforce}}})
	got := map[string]float64{}
	for _, rule := range []string{"digests", "probes", "hardening"} {
		for _, mode := range []string{"Enforce", "Warn", "Audit", "Exempt"} {
			got[rule+" "+mode] = testutil.ToFloat64(m.edits.WithLabelValues(rule, mode))
		}
	}
	want := map[string]float64{
		"digests Enforce": 3, "digests Warn": 0, "digests Audit": 0, "digests Exempt": 0, "probes Enforce": 1, "probes Warn": 0, "probes Audit": 0, "probes Exempt": 0,
		"hardening Enforce": 0, "hardening Warn": 1, "hardening Audit": 1, "hardening Exempt": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("edits counted (-want +got):\n%s", diff)
	}
}

// TestMutationIsCounted holds that the webhook counts what it answers.
func TestMutationIsCounted(t *testing.T) {
	w := newTestWebhook(t)
	post(t, w.mutate, podReview(safeSpec, nil))
	if got := testutil.ToFloat64(w.metrics.edits.WithLabelValues("digests", "Enforce")); got != 1 {
		t.Errorf("got %v edits counted, want 1", got)
	}
}

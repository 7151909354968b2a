package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

func TestPolicyScans(t *testing.T) {
	found := func(policy string, outcome report.Outcome, mode string) report.Result {
		return report.Result{Policy: policy, Result: outcome, Mode: mode}
	}
	exempt := found("strict", report.Skip, "Enforce")
	exempt.Exemption = &report.Exemption{Exception: "portcullis-system/x"}
	s := &Scan{Workloads: []Workload{
		{Judgement: &Judgement{Policies: []string{"strict", "quiet"}, Findings: []report.Result{
			found("strict", report.Fail, "Enforce"), found("strict", report.Fail, "Enforce"), found("strict", report.Warn, "Warn"),
			found("strict", report.Warn, "Audit"), found("strict", report.Skip, "Enforce"), exempt,
			found("Namespace/shop", report.Fail, "Enforce"),
		}}},
		{Judgement: &Judgement{Policies: []string{"strict"}}},
		{Judgement: &Judgement{}},
	}}
	want := map[string]policies.PolicyScan{
		"strict":         {Workloads: 2, Findings: 4, Denied: 2, Warned: 1, Audited: 1, Exempt: 1, Unjudged: 1},
		"quiet":          {Workloads: 1},
		"Namespace/shop": {Findings: 1, Denied: 1}, // of no policy, and nobody asks for it
	}
	if diff := cmp.Diff(want, s.PolicyScans()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

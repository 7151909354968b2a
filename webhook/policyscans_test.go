package webhook

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/policies"
)

func TestScanOf(t *testing.T) {
	inForce := policyVersion{uid: "1", generation: 2, inForce: 2}
	before := &policies.PolicyScan{Generation: 1, Workloads: 9}
	for _, test := range []struct {
		name    string
		set     int
		version policyVersion // when the status is written
		want    *policies.PolicyScan
	}{
		{"a scan by this set", 3, inForce, &policies.PolicyScan{Generation: 2, Workloads: 4, Findings: 1}},
		{"a scan by the set before it", 2, inForce, before},
		{"a policy made anew by that name", 3, policyVersion{uid: "2", generation: 2, inForce: 2}, before},
		{"nothing of the policy in force", 3, policyVersion{uid: "1", generation: 3}, nil},
		{"an invalid version after it", 3, policyVersion{uid: "1", generation: 3, inForce: 2}, &policies.PolicyScan{Generation: 2, Workloads: 4, Findings: 1}},
	} {
		c := &clusterPolicies{seen: make(chan struct{}, 1)}
		c.current.Store(&loaded{version: 3, versions: map[string]policyVersion{"p": inForce}})
		c.scanned(test.set, map[string]policies.PolicyScan{"p": {Workloads: 4, Findings: 1}})
		if diff := cmp.Diff(test.want, c.scanOf("p", test.version, before)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestScanOfAFormerTerm requires that a replica that leads again does not put what it
// found when it led before in the place of what another one has found since.
func TestScanOfAFormerTerm(t *testing.T) {
	s, _ := statusWriter(t, nil)
	version := policyVersion{uid: "1", generation: 2, inForce: 2}
	s.source.current.Store(&loaded{versions: map[string]policyVersion{"p": version}})
	s.source.scanned(0, map[string]policies.PolicyScan{"p": {Findings: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.lead(ctx)
	others := &policies.PolicyScan{Generation: 2, Findings: 5}
	if diff := cmp.Diff(others, s.source.scanOf("p", version, others)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScanIsWrittenOnce requires that a scan that found what the one before it did
// writes nothing.
func TestScanIsWrittenOnce(t *testing.T) {
	s, writes := statusWriter(t, nil)
	version := policyVersion{uid: "1", generation: 2, inForce: 2, rules: 1}
	s.source.current.Store(&loaded{versions: map[string]policyVersion{"p": version}})
	for _, step := range []struct{ findings, writes int }{{0, 1}, {0, 1}, {5, 2}, {5, 2}, {4, 3}} {
		s.source.scanned(0, map[string]policies.PolicyScan{"p": {Workloads: 7, Findings: int32(step.findings)}})
		if err := s.write(t.Context(), "p", version); err != nil {
			t.Fatal(err)
		}
		if *writes != step.writes {
			t.Errorf("%d findings: got %d writes in all, want %d", step.findings, *writes, step.writes)
		}
	}
}

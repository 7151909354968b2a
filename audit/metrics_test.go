package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	s := scanOf(time.Unix(1000, 0), map[string]int{"shop": 2, "billing": 1})
	s.Took = 2 * time.Second
	m.scanned(s)
	want := `
# HELP portcullis_audit_timestamp_seconds When the last scan was complete, in seconds since 1970; 0 where this replica does not scan.
# TYPE portcullis_audit_timestamp_seconds gauge
portcullis_audit_timestamp_seconds 1002
# HELP portcullis_findings Findings about what runs, by policy, rule, mode (Enforce, Warn, Audit) and namespace; at most 1000 series, the smallest of more are added up without a namespace.
# TYPE portcullis_findings gauge
portcullis_findings{mode="Enforce",namespace="billing",policy="p",rule="r"} 1
portcullis_findings{mode="Enforce",namespace="shop",policy="p",rule="r"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "portcullis_findings", "portcullis_audit_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	m.scanned(scanOf(time.Unix(2000, 0), map[string]int{"shop": 1}))
	if got := testutil.CollectAndCount(m.findings, "portcullis_findings"); got != 1 {
		t.Errorf("got %d series after billing is fine, want 1", got)
	}
	m.reset()
	if got := testutil.CollectAndCount(m.findings, "portcullis_findings") + int(testutil.ToFloat64(m.last)); got != 0 {
		t.Errorf("got %d after the lease is lost, want nothing", got)
	}
}

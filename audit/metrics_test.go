package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
# HELP portcullis_findings Findings about what runs, by policy, rule, mode (Enforce, Warn, Audit) and namespace; at most 1000 series, the rest is in one without a namespace.
# TYPE portcullis_findings gauge
portcullis_findings{mode="Enforce",namespace="billing",policy="p",rule="r"} 1
portcullis_findings{mode="Enforce",namespace="shop",policy="p",rule="r"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "portcullis_findings", "portcullis_audit_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	m.scanned(scanOf(time.Unix(2000, 0), map[string]int{"shop": 1}))
	if got := testutil.CollectAndCount(m.findings); got != 1 {
		t.Errorf("got %d series after billing is fine, want 1", got)
	}
	m.reset()
	if got := testutil.CollectAndCount(m.findings) + int(testutil.ToFloat64(m.last)); got != 0 {
		t.Errorf("got %d after the lease is lost, want nothing", got)
	}
}

// TestMetricsAreBounded holds the series to their number, and the sum of all to that
// of the findings.
func TestMetricsAreBounded(t *testing.T) {
	counts := map[series]int{}
	sum := 0
	for i := range 5000 {
		counts[series{"p", "r", "Enforce", fmt.Sprintf("team-%d", i)}] = i
		sum += i
	}
	kept := bounded(counts, maxSeries)
	total := 0
	for _, n := range kept {
		total += n
	}
	got := []int{len(kept), total, kept[series{"p", "r", "Enforce", "team-4999"}]}
	if diff := cmp.Diff([]int{maxSeries + 1, sum, 4999}, got); diff != "" {
		t.Errorf("series, sum, largest (-want +got):\n%s", diff)
	}
}

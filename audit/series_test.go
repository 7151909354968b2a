package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// TestSeriesAreBounded holds the series of a large cluster to their number, the sum of
// all to that of the findings, and the largest to what they are.
func TestSeriesAreBounded(t *testing.T) {
	for _, test := range []struct {
		name                             string
		namespaces, policies, rules      int
		series, folded, withoutAnyPolicy int
	}{
		{"small", 100, 2, 5, 1000, 0, 0},
		{"one more", 1001, 1, 1, 901, 101, 0},
		{"many namespaces", 10_000, 1, 3, 903, 29_100, 0},
		{"many namespaces and policies", 10_000, 4, 2, 908, 79_100, 0},
		{"as many policies as there is room for", 1000, 10, 10, 1000, 99_100, 0},
		{"more policies than there is room for", 50, 500, 3, 1000, 74_100, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			counts := map[series]int{}
			sum := 0
			for i := range test.namespaces {
				for j := range test.policies {
					for k := range test.rules {
						n := 1 + i%7
						counts[series{fmt.Sprint("p", j), fmt.Sprint("r", k), "Enforce", fmt.Sprint("team-", i)}] = n
						sum += n
					}
				}
			}
			top := series{"p0", "r0", "Enforce", "team-0"}
			sum += 1_000_000 - counts[top]
			counts[top] = 1_000_000
			kept, folded := bounded(counts, maxSeries, maxFolded)
			total := 0
			for _, n := range kept {
				total += n
			}
			if len(kept) != test.series || folded != test.folded || total != sum || kept[top] != 1_000_000 || (kept[series{}] > 0) != (test.withoutAnyPolicy > 0) {
				t.Errorf("got %d series, %d folded, %d findings, %d of the largest, %d without labels, want %d, %d, %d, 1000000, any: %t",
					len(kept), folded, total, kept[top], kept[series{}], test.series, test.folded, sum, test.withoutAnyPolicy > 0)
			}
		})
	}
}

// TestManyNamespaces scrapes what a scan of 10,000 namespaces leaves.
func TestManyNamespaces(t *testing.T) {
	s := &Scan{Started: time.Unix(1000, 0)}
	for i := range 10_000 {
		j := &Judgement{Matched: true, Findings: []report.Result{
			{Policy: "p", Rule: "r", Mode: "Enforce", Result: report.Fail},
			{Policy: fmt.Sprintf("Namespace/team-%d", i), Rule: "podSecurity", Mode: "Warn", Result: report.Warn},
			{Policy: "p", Rule: "r", Mode: "Enforce", Result: report.Skip},
		}}
		s.Workloads = append(s.Workloads, Workload{Kind: pod.Kinds()[3], Namespace: fmt.Sprintf("team-%d", i), Name: "web", Judgement: j})
	}
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.scanned(s)
	got, err := testutil.GatherAndCount(registry, "portcullis_findings")
	if err != nil {
		t.Fatal(err)
	}
	if folded := len(m.findings.current.Load().counts); got != 902 || folded != 902 {
		t.Errorf("got %d series of %d, want 902: 900 and two without a namespace", got, folded)
	}
	if folded := m.findings.current.Load().folded; folded != 20_000-900 {
		t.Errorf("got %d folded, want %d", folded, 20_000-900)
	}
}

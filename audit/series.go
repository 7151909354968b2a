package audit

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/report"
)

// series are the labels of portcullis_findings.
type series struct{ policy, rule, mode, namespace string }

// findingSeries are the series of one scan. They are replaced all at once, so that no
// scrape sees half of a scan.
type findingSeries struct {
	findings, folded *prometheus.Desc
	current          atomic.Pointer[foldedCounts]
}

type foldedCounts struct {
	counts map[series]int
	folded int
}

func newFindingSeries() *findingSeries {
	s := &findingSeries{
		findings: prometheus.NewDesc("portcullis_findings",
			"Findings about what runs, by policy, rule, mode (Enforce, Warn, Audit) and namespace; at most 1000 series, the smallest of more are added up without a namespace.",
			[]string{"policy", "rule", "mode", "namespace"}, nil),
		folded: prometheus.NewDesc("portcullis_findings_folded_series",
			"Series that portcullis_findings would have beside those it has, and that are added up without a namespace.", nil, nil),
	}
	s.set(nil, 0)
	return s
}

func (s *findingSeries) set(counts map[series]int, folded int) {
	s.current.Store(&foldedCounts{counts, folded})
}

// Describe is part of prometheus.Collector.
func (s *findingSeries) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- s.findings
	descriptions <- s.folded
}

// Collect is part of prometheus.Collector.
func (s *findingSeries) Collect(metrics chan<- prometheus.Metric) {
	current := s.current.Load()
	metrics <- prometheus.MustNewConstMetric(s.folded, prometheus.GaugeValue, float64(current.folded))
	for l, n := range current.counts {
		metrics <- prometheus.MustNewConstMetric(s.findings, prometheus.GaugeValue, float64(n), l.policy, l.rule, l.mode, l.namespace)
	}
}

// labelPolicy begins the policy of what the labels of a namespace say.
const labelPolicy = "Namespace/"

func count(s *Scan) map[series]int {
	counts := map[series]int{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		for j := range w.Findings {
			f := &w.Findings[j]
			if f.Result != report.Fail && f.Result != report.Warn {
				continue
			}
			policy := f.Policy
			if strings.HasPrefix(policy, labelPolicy) { // the label namespace says which
				policy = "Namespace"
			}
			counts[series{policy, f.Rule, f.Mode, w.Namespace}]++
		}
	}
	return counts
}

// bounded keeps the largest series, and adds up the others without a namespace; where
// even those are more than rest, the smallest of them are added up without any label.
// There are limit series at most, whatever the cluster has; folded counts those that
// were not kept as they are.
func bounded(counts map[series]int, limit, rest int) (kept map[series]int, folded int) {
	if len(counts) <= limit {
		return counts, 0
	}
	kept = make(map[series]int, limit)
	without := map[series]int{}
	for i, labels := range largest(counts) {
		if i < limit-rest {
			kept[labels] = counts[labels]
			continue
		}
		folded++
		n := counts[labels]
		labels.namespace = ""
		without[labels] += n
	}
	for i, labels := range largest(without) {
		n := without[labels]
		if len(without) > rest && i >= rest-1 {
			labels = series{}
		}
		kept[labels] += n
	}
	return kept, folded
}

// largest are all series, those with most findings first.
func largest(counts map[series]int) []series {
	return slices.SortedFunc(maps.Keys(counts), func(a, b series) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.policy, b.policy), cmp.Compare(a.rule, b.rule), cmp.Compare(a.mode, b.mode))
	})
}

package audit

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/report"
)

// maxSeries bounds portcullis_findings. A cluster with more keeps the largest, and
// the rest is added up without a namespace.
const maxSeries = 1000

// Metrics are the figures about scans. Only the replica that scans has any.
type Metrics struct {
	findings  *prometheus.GaugeVec
	workloads prometheus.Gauge
	unseen    prometheus.Gauge
	duration  prometheus.Gauge
	last      prometheus.Gauge
	written   prometheus.Counter
	failed    prometheus.Counter
}

// NewMetrics registers the figures.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portcullis_findings",
			Help: "Findings about what runs, by policy, rule, mode (Enforce, Warn, Audit) and namespace; at most 1000 series, the rest is in one without a namespace.",
		}, []string{"policy", "rule", "mode", "namespace"}),
		workloads: prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_workloads", Help: "Workloads that the last scan judged or knew."}),
		unseen:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_unseen", Help: "Lists and objects that the last scan could not read."}),
		duration:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_duration_seconds", Help: "Time that the last scan took."}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_audit_timestamp_seconds", Help: "When the last scan was complete, in seconds since 1970; 0 where this replica does not scan.",
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_audit_reports_written_total", Help: "Report objects that were written or deleted."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_audit_failures_total", Help: "Scans, and writes of their reports, that failed."}),
	}
	registry.MustRegister(m.findings, m.workloads, m.unseen, m.duration, m.last, m.written, m.failed)
	return m
}

// reset is for a replica that does not scan any more.
func (m *Metrics) reset() {
	m.findings.Reset()
	for _, g := range []prometheus.Gauge{m.workloads, m.unseen, m.duration, m.last} {
		g.Set(0)
	}
}

// series are the labels of portcullis_findings.
type series struct{ policy, rule, mode, namespace string }

// scanned takes the figures of a scan.
func (m *Metrics) scanned(s *Scan) {
	m.workloads.Set(float64(len(s.Workloads)))
	m.unseen.Set(float64(len(s.Problems) + s.MoreProblems))
	m.duration.Set(s.Took.Seconds())
	m.last.Set(float64(s.Started.Add(s.Took).Unix()))
	m.findings.Reset()
	for labels, count := range bounded(count(s), maxSeries) {
		m.findings.WithLabelValues(labels.policy, labels.rule, labels.mode, labels.namespace).Set(float64(count))
	}
}

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
			if strings.HasPrefix(policy, "Namespace/") { // the label namespace says which
				policy = "Namespace"
			}
			counts[series{policy, f.Rule, f.Mode, w.Namespace}]++
		}
	}
	return counts
}

// bounded keeps the largest series, and adds up the others without a namespace. There
// are as many of those as there are policies with rules.
func bounded(counts map[series]int, limit int) map[series]int {
	if len(counts) <= limit {
		return counts
	}
	all := slices.SortedFunc(maps.Keys(counts), func(a, b series) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.policy, b.policy), cmp.Compare(a.rule, b.rule), cmp.Compare(a.mode, b.mode))
	})
	kept := make(map[series]int, limit)
	for i, labels := range all {
		if i >= limit {
			labels.namespace = ""
		}
		kept[labels] += counts[all[i]]
	}
	return kept
}

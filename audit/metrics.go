package audit

import "github.com/prometheus/client_golang/prometheus"

// maxSeries bounds portcullis_findings. A cluster with more keeps the largest, and
// the rest is added up without a namespace, in maxFolded series at most.
const (
	maxSeries = 1000
	maxFolded = 100
)

// Metrics are the figures about scans. Only the replica that scans has any.
type Metrics struct {
	findings      *findingSeries
	workloads     prometheus.Gauge
	unseen        prometheus.Gauge
	duration      prometheus.Gauge
	last          prometheus.Gauge
	written       prometheus.Counter
	failed        prometheus.Counter
	events        *prometheus.CounterVec
	eventsWaiting prometheus.Gauge
}

// NewMetrics registers the figures.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		findings:  newFindingSeries(),
		workloads: prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_workloads", Help: "Workloads that the last scan judged or knew."}),
		unseen:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_unseen", Help: "Lists and objects that the last scan could not read."}),
		duration:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "portcullis_audit_duration_seconds", Help: "Time that the last scan took."}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_audit_timestamp_seconds", Help: "When the last scan was complete, in seconds since 1970; 0 where this replica does not scan.",
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_audit_reports_written_total", Help: "Report objects that were written or deleted."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "portcullis_audit_failures_total", Help: "Scans, and writes of their reports, that failed."}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_audit_events_total", Help: "Events on workloads, by result: written or failed.",
		}, []string{"result"}),
		eventsWaiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_audit_events_waiting", Help: "Workloads whose Event is left to a later scan: there is room for 200 at once, and for one more every 3 seconds.",
		}),
	}
	for _, result := range []string{"written", "failed"} {
		m.events.WithLabelValues(result) // so that the first one is an increase
	}
	registry.MustRegister(m.findings, m.workloads, m.unseen, m.duration, m.last, m.written, m.failed, m.events, m.eventsWaiting)
	return m
}

// reset is for a replica that does not scan any more.
func (m *Metrics) reset() {
	m.findings.set(nil, 0)
	for _, g := range []prometheus.Gauge{m.workloads, m.unseen, m.duration, m.last, m.eventsWaiting} {
		g.Set(0)
	}
}

// scanned takes the figures of a scan.
func (m *Metrics) scanned(s *Scan) {
	m.workloads.Set(float64(len(s.Workloads)))
	m.unseen.Set(float64(len(s.Problems) + s.MoreProblems))
	m.duration.Set(s.Took.Seconds())
	m.last.Set(float64(s.Started.Add(s.Took).Unix()))
	m.findings.set(bounded(count(s), maxSeries, maxFolded))
}

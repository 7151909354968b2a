package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
)

// metrics are the figures about admission. Every label has a short, bounded list
// of values; names of objects are in the audit log.
type metrics struct {
	reviews  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	findings *prometheus.CounterVec
	edits    *prometheus.CounterVec
	rejected *prometheus.CounterVec
	shed     *prometheus.CounterVec
	glass    *prometheus.CounterVec
	panics   prometheus.Counter
	policies prometheus.Gauge
	invalid  prometheus.Gauge

	exceptions *exceptionStates
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_admission_reviews_total",
			Help: "Admission reviews answered, by endpoint (mutate, validate), resource, operation and verdict (allowed, denied, error).",
		}, []string{"endpoint", "resource", "operation", "verdict"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "portcullis_admission_duration_seconds",
			Help:    "Time to answer an admission review, by endpoint.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .5, 1, 2.5, 5, 10},
		}, []string{"endpoint"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_admission_findings_total",
			Help: "Findings in answered reviews, by rule, check and mode (Enforce, Warn, Audit, Exempt for what an exception covers, or BrokenGlass for what somebody has passed).",
		}, []string{"rule", "check", "mode"}),
		edits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_admission_edits_total",
			Help: "Fields that mutators have set in answered reviews (mode Enforce), or would set if their policies enforced them (Warn, Audit) or no exception left them out (Exempt), by rule and mode.",
		}, []string{"rule", "mode"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_admission_rejected_total",
			Help: "Requests that are not admission reviews, by endpoint.",
		}, []string{"endpoint"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_admission_shed_total",
			Help: "Admission reviews turned away because there were more than can be answered in time, by endpoint; connect is for connections that were, before it was known what for.",
		}, []string{"endpoint"}),
		glass: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_break_glass_total",
			Help: "Objects that have passed a policy by break-glass, by policy and by what was done: opened (by the first use of a member), used (by a further one) or followed (by a controller).",
		}, []string{"policy", "use"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "portcullis_admission_panics_total",
			Help: "Panics while judging; each one denied the object.",
		}),
		policies: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_policies",
			Help: "Policies in force.",
		}),
		invalid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_policies_invalid",
			Help: "Policies whose newest version is invalid; the last valid version of each stays in force.",
		}),
	}
	m.exceptions = newExceptionStates()
	for _, endpoint := range []string{"mutate", "validate", handshakeEndpoint} { // an alert on an increase does not see one that begins above 0
		m.shed.WithLabelValues(endpoint)
	}
	registry.MustRegister(m.exceptions, m.reviews, m.duration, m.findings, m.edits, m.rejected, m.shed, m.glass, m.panics, m.policies, m.invalid)
	return m
}

func (m *metrics) review(endpoint string, req *request, response *admissionv1.AdmissionResponse, took time.Duration) {
	verdict := "allowed"
	switch {
	case response.Allowed:
	case response.Result != nil && response.Result.Code >= 500:
		verdict = "error"
	default:
		verdict = "denied"
	}
	m.reviews.WithLabelValues(endpoint, resourceLabel(req), operationLabel(req), verdict).Inc()
	m.duration.WithLabelValues(endpoint).Observe(took.Seconds())
}

func (m *metrics) verdict(v engine.Verdict) {
	for _, f := range v.Findings {
		mode := modeLabel(f.Mode, f.Exempt)
		if f.Glass != nil {
			mode = "BrokenGlass"
		}
		m.findings.WithLabelValues(f.Rule, f.Check, mode).Inc()
	}
	if !v.Denied() { // else nothing was set
		m.count(v.Edits)
	}
	m.count(v.Proposed)
}

// count adds the edits. Those of one mutator stand together, and are counted at once.
func (m *metrics) count(edits []engine.Edit) {
	for begin, i := 0, 1; i <= len(edits); i++ {
		if e := edits[begin]; i == len(edits) || edits[i].Rule != e.Rule || edits[i].Mode != e.Mode || edits[i].Exempt != e.Exempt {
			m.edits.WithLabelValues(e.Rule, modeLabel(e.Mode, e.Exempt)).Add(float64(i - begin))
			begin = i
		}
	}
}

// inForce counts the policies. What can be passed has its series from then on: an
// alert on an increase does not see one that begins above 0.
func (m *metrics) inForce(set *policies.Set, invalid int) {
	m.policies.Set(float64(set.Len()))
	m.invalid.Set(float64(invalid))
	for _, p := range set.Policies() {
		if p.BreakGlass == nil {
			continue
		}
		for _, use := range []string{glassOpened, glassUsed, glassFollowed} {
			m.glass.WithLabelValues(p.Name, use)
		}
	}
}

// modeLabel is the mode, unless an exception covers what it is about.
func modeLabel(mode policies.Mode, exempt *engine.Exemption) string {
	if exempt != nil {
		return "Exempt"
	}
	return string(mode)
}

// resourceLabel bounds the label to what is registered: anybody who reaches the
// port can send a review.
func resourceLabel(req *request) string {
	if isNamespace(req) || isPolicy(req) || isException(req) || isWorkload(req) {
		return req.Resource.Resource
	}
	return "other"
}

func operationLabel(req *request) string {
	switch req.Operation {
	case admissionv1.Create, admissionv1.Update:
		return string(req.Operation)
	}
	return "other"
}

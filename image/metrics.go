package image

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics has only constant label values: a host in a label would let whoever writes pods grow the number of series.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	now      func() time.Time

	cached, asked, stale, failed prometheus.Counter // of reviews' questions
}

func newMetrics(reg prometheus.Registerer, now func() time.Time) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_registry_requests_total",
			Help: "Calls to registries, by operation (head, manifests, blobs, layers, token, keychain) and result (ok or a reason).",
		}, []string{"operation", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "portcullis_registry_request_seconds",
			Help:    "Time that calls to registries took, with their redirects and token requests.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation"}),
		now: now,
	}
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "portcullis_image_lookups_total",
		Help: "Images that reviews asked about, by how they were answered (cached, asked, stale, failed).",
	}, []string{"answer"})
	m.cached, m.asked = lookups.WithLabelValues("cached"), lookups.WithLabelValues("asked")
	m.stale, m.failed = lookups.WithLabelValues("stale"), lookups.WithLabelValues("failed")
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, lookups)
	}
	return m
}

// gauges registers what is looked up when it is scraped.
func (r *Registries) gauges(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("portcullis_registry_breakers_open",
		"Registries, and credentials on them, that are not used at the moment, because they failed or asked to wait.",
		func() float64 { return float64(r.client.paused()) })
	gauge("portcullis_image_contents_bytes", "Memory held by what is known about images by digest.",
		func() float64 { return float64(r.contents.size()) })
	gauge("portcullis_image_tags", "Tags whose digest is remembered.",
		func() float64 { return float64(r.tags.size()) })
}

// request counts one call; it is deferred with the address of the error that the caller returns.
func (m *metrics) request(operation string, began time.Time, err *error) {
	m.seconds.WithLabelValues(operation).Observe(m.now().Sub(began).Seconds())
	result := "ok"
	if f := asFailure(*err); f != nil {
		result = string(f.reason)
	}
	m.requests.WithLabelValues(operation, result).Inc()
}

// answered counts one image that a review asked about.
func (m *metrics) answered(fact Fact, from prometheus.Counter) Fact {
	switch {
	case fact.Err != nil:
		m.failed.Inc()
	case fact.Stale > 0:
		m.stale.Inc()
	default:
		from.Inc()
	}
	return fact
}

// paused counts the registries, and the credentials on them, that are not used at the moment.
func (c *client) paused() int {
	n := 0
	c.hosts.each(func(h *host) { n += h.breaker.paused(c.now()) })
	c.sessions.each(func(s *session) { n += s.quota.paused(c.now()) })
	return n
}

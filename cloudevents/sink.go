package cloudevents

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/image"
)

// Options configure a Sink. Zero values are the defaults, except where one is
// required.
type Options struct {
	// URL is where events are posted to. Required: https, or http without
	// AuthorizationFile.
	URL string
	// Source names this cluster in events: a URI reference. Required.
	Source string
	// CAFile has the certificates, in PEM, that the sink's is signed by. Empty: those
	// of the system. It is read again for each event.
	CAFile string
	// AuthorizationFile has the value of the header Authorization. Empty: there is no
	// such header. It is read again for each attempt.
	AuthorizationFile string
	// Timeout bounds an attempt. Zero: 10 seconds.
	Timeout time.Duration
	// Backoff is how long to wait after the first attempt that failed; it is doubled
	// after each. Zero: a second.
	Backoff time.Duration
	// Resolver and Dial reach the sink. Nil: the network.
	Resolver image.Resolver
	Dial     image.DialFunc
	// Registry takes the metrics. Required.
	Registry prometheus.Registerer
	// Log takes what could not be delivered. Required.
	Log *slog.Logger
}

const (
	// queueLength is how many events wait at most: 16 MiB of the largest ones.
	queueLength = 256
	// lastCall is how long Run delivers what is left, once its context has ended.
	lastCall = 3 * time.Second
)

// The results of an event, which are labels of the metric.
const (
	delivered = "delivered"
	failed    = "failed"  // not taken, by any attempt
	dropped   = "dropped" // not tried: too many before it, too large, or the end of the process
)

// Sink delivers events, one after the other. A nil Sink delivers none.
type Sink struct {
	options  Options
	post     *poster
	queue    chan queued
	outcomes *prometheus.CounterVec
}

// queued is an event that waits.
type queued struct {
	typ  string
	body []byte
}

// New makes a sink, and reads its files once, to tell at the start what is wrong
// with them.
func New(o Options) (*Sink, error) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	post, err := newPoster(&o)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, post: post, queue: make(chan queued, queueLength), outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "portcullis_cloudevents_total",
		Help: "CloudEvents for the sink, by type and result: delivered, failed (no attempt was successful) or dropped (too many wait).",
	}, []string{"type", "result"})}
	o.Registry.MustRegister(s.outcomes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "portcullis_cloudevents_waiting", Help: "CloudEvents that wait to be delivered.",
	}, func() float64 { return float64(len(s.queue)) }))
	for _, typ := range Types() {
		for _, result := range []string{delivered, failed, dropped} {
			s.outcomes.WithLabelValues(typ, result) // so that the first one is an increase
		}
	}
	return s, nil
}

// Send has an event delivered, and does not wait for it. It is dropped where too many
// wait already.
func (s *Sink) Send(e Event) {
	if s == nil {
		return
	}
	body, err := e.encode(s.options.Source, time.Now())
	if err != nil {
		s.outcomes.WithLabelValues(e.Type, dropped).Inc()
		s.options.Log.Error("dropping a CloudEvent", "err", err)
		return
	}
	select {
	case s.queue <- queued{e.Type, body}:
	default:
		s.outcomes.WithLabelValues(e.Type, dropped).Inc()
		s.options.Log.Debug("dropping a CloudEvent: too many wait", "type", e.Type, "subject", e.Subject)
	}
}

// Run delivers until ctx ends, and then what is under way and what still waits, for
// three seconds at most.
func (s *Sink) Run(ctx context.Context) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastCall, cancel) })()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case e := <-s.queue:
			s.deliver(last, e)
		}
	}
	for {
		select {
		case e := <-s.queue:
			if last.Err() != nil {
				s.outcomes.WithLabelValues(e.typ, dropped).Inc()
				continue
			}
			s.deliver(last, e)
		default:
			return
		}
	}
}

// maxAttempts is how often an event is tried.
const maxAttempts = 5

// maxWait bounds the pause between two attempts, whatever the sink asks for.
const maxWait = 30 * time.Second

func (s *Sink) deliver(ctx context.Context, e queued) {
	wait := s.options.Backoff
	var err error
	for attempt := 1; ; attempt++ {
		answer := s.post.do(ctx, e.body)
		if err = answer.err; err == nil {
			s.outcomes.WithLabelValues(e.typ, delivered).Inc()
			return
		}
		if !answer.again || attempt == maxAttempts || !pause(ctx, min(max(wait, answer.after), maxWait)) {
			break
		}
		wait *= 2
	}
	s.outcomes.WithLabelValues(e.typ, failed).Inc()
	s.options.Log.Warn("delivering a CloudEvent", "type", e.typ, "err", err)
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

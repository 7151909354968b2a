package webhook

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/policies"
)

// The states of exceptions. Each exception is in one.
const (
	stateActive   = "active"
	stateEnding   = "ending"   // in force, and ends within --exception-warning
	stateExpired  = "expired"  // has ended
	stateOrphaned = "orphaned" // names no policy that is in force and allows exceptions
	stateInvalid  = "invalid"
)

// exceptionStates counts exceptions by state when somebody asks: time alone moves
// them from one to the next.
type exceptionStates struct {
	description *prometheus.Desc
	warning     time.Duration
	now         func() time.Time

	mu      sync.Mutex
	list    []*policies.CompiledException
	invalid int
}

func newExceptionStates() *exceptionStates {
	return &exceptionStates{now: time.Now, description: prometheus.NewDesc("portcullis_exceptions",
		"PolicyExceptions in the namespaces where they count, by state: active, ending (within --exception-warning), expired, "+
			"orphaned (names no policy in force that allows exceptions) or invalid. The last three exempt from nothing.", []string{"state"}, nil)}
}

// keep takes the exceptions of the set in force, and how many are not in it.
func (s *exceptionStates) keep(list []*policies.CompiledException, invalid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.invalid = list, invalid
}

// Describe is part of prometheus.Collector.
func (s *exceptionStates) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- s.description
}

// Collect is part of prometheus.Collector.
func (s *exceptionStates) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	list, invalid := s.list, s.invalid
	s.mu.Unlock()
	counts := map[string]int{stateInvalid: invalid}
	for _, e := range list {
		counts[s.state(e)]++
	}
	for _, state := range []string{stateActive, stateEnding, stateExpired, stateOrphaned, stateInvalid} {
		metrics <- prometheus.MustNewConstMetric(s.description, prometheus.GaugeValue, float64(counts[state]), state)
	}
}

func (s *exceptionStates) state(e *policies.CompiledException) string {
	return stateOf(e, s.now(), s.warning)
}

// stateOf is the state of a valid exception. One that names several policies is
// ending before each of its ends.
func stateOf(e *policies.CompiledException, now time.Time, warning time.Duration) string {
	if _, counts := e.LastEnd(); !counts {
		return stateOrphaned
	}
	next, ahead := e.NextEnd(now)
	switch {
	case !ahead:
		return stateExpired
	case next.Sub(now) < warning:
		return stateEnding
	}
	return stateActive
}

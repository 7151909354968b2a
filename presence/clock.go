package presence

import (
	"net/http"
	"sync"
	"time"
)

// maxSkew is how far the clock of a machine may be from that of the API server, which
// tells whole seconds, before it no longer counts.
const maxSkew = 2 * time.Second

// clock is the time by which objects are created: that of the API server, as its
// answers tell it. The clock of one machine that is set wrong would make a gap of
// what is none, or hide one. Without an answer yet it is that of the machine.
type clock struct {
	machine func() time.Time

	mu    sync.Mutex
	told  time.Time // by the last answer, in the middle of the second that it names
	heard time.Time // when that was, by the machine
}

// now is the time of the machine while that agrees with the API server's.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.machine()
	if c.told.IsZero() {
		return now
	}
	// What has passed since is measured by a clock that nobody sets (package time,
	// Monotonic Clocks).
	served := c.told.Add(now.Sub(c.heard))
	if now.Sub(served).Abs() <= maxSkew {
		return now
	}
	return served
}

// hear takes the time from an answer.
func (c *clock) hear(response *http.Response) {
	told, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.heard = told.Add(time.Second/2), c.machine()
}

// listening is a transport whose answers a clock hears.
type listening struct {
	http.RoundTripper
	clock *clock
}

// RoundTrip passes on, and hears the answer.
func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		l.clock.hear(response)
	}
	return response, err
}

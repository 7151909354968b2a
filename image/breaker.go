package image

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	breakerFailures = 5                // in a row
	breakerPause    = 10 * time.Second // after them, and after a 429 or 503 without Retry-After
	maxPause        = 5 * time.Minute  // the longest Retry-After that is honoured
)

// breaker keeps requests away from a registry that asked for it or that keeps failing: then the answer costs no time, and the
// registry can recover. After the pause one request is let through; its outcome decides. The zero value is closed.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // zero while closed
	probing  bool
}

// allow reports whether a request may be sent now. Who is allowed must call exactly one of the others afterwards.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// succeed records an answer, of whatever status, that shows the registry at work.
func (b *breaker) succeed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() || b.probing { // else it was sent before the pause began, and says nothing about it
		b.failures, b.until, b.probing = 0, time.Time{}, false
	}
}

// abandon records a request that says nothing about the registry.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// fail records a request without an answer.
func (b *breaker) fail(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.probing || b.failures >= breakerFailures {
		b.until = now.Add(breakerPause)
	}
	b.probing = false
}

// pause records that the registry asked to be left alone for d.
func (b *breaker) pause(now time.Time, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until, b.probing = now.Add(d), false
}

// paused is 1 while requests are kept away, else 0.
func (b *breaker) paused(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.until) {
		return 1
	}
	return 0
}

// retryAfter is how long the registry wants to be left alone: seconds or a date (RFC 9110, 10.2.3), within bounds.
func retryAfter(h http.Header, now time.Time) time.Duration {
	d := breakerPause
	if s := h.Get("Retry-After"); s != "" {
		if seconds, err := strconv.ParseInt(s, 10, 32); err == nil {
			d = time.Duration(seconds) * time.Second
		} else if date, err := http.ParseTime(s); err == nil {
			d = date.Sub(now)
		}
	}
	return min(max(d, time.Second), maxPause)
}

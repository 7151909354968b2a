package image

import (
	"net/http"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var b breaker
	for range breakerFailures - 1 {
		b.allow(now)
		b.fail(now)
	}
	if !b.allow(now) {
		t.Fatal("got open after 4 failures, want closed")
	}
	b.fail(now)
	if b.allow(now.Add(breakerPause - 1)) {
		t.Fatal("got closed after 5 failures, want open for the pause")
	}
	later := now.Add(breakerPause)
	if !b.allow(later) || b.allow(later) {
		t.Fatal("want exactly one request after the pause")
	}
	b.abandon()
	if !b.allow(later) {
		t.Fatal("got closed to the next request, want another try after one that said nothing")
	}
	b.fail(later)
	if b.allow(later) || b.paused(later) != 1 {
		t.Fatal("want another pause when the one request fails")
	}
	if !b.allow(later.Add(breakerPause)) {
		t.Fatal("want a second try")
	}
	b.succeed()
	if !b.allow(later) || b.paused(later) != 0 {
		t.Fatal("want closed once it succeeds")
	}
}

func TestBreakerKeepsItsPause(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var b breaker
	b.allow(now)
	b.allow(now) // two at once
	b.pause(now, time.Minute)
	b.succeed() // of the other, which was sent before
	if b.allow(now.Add(time.Minute - 1)) {
		t.Error("got a success that is older than the pause ending it")
	}
	if !b.allow(now.Add(time.Minute)) {
		t.Error("got still paused after the pause")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"", breakerPause},
		{"60", time.Minute},
		{"0", time.Second},
		{"-5", time.Second},
		{"86400", maxPause},
		{"99999999999999999999", breakerPause},
		{"soon", breakerPause},
		{"Fri, 02 Jan 2026 03:04:35 GMT", 30 * time.Second},
		{"Fri, 02 Jan 2025 03:04:35 GMT", time.Second},
	}
	for _, tt := range tests {
		h := http.Header{}
		if tt.value != "" {
			h.Set("Retry-After", tt.value)
		}
		if got := retryAfter(h, now); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.value, got, tt.want)
		}
	}
}

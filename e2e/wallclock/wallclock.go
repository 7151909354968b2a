// Package wallclock lets tests see times as they are after somebody has set the clock.
//
// A time that the clock has told has two readings: that of the wall clock, which
// people and their daemons set, and a monotonic one, by which differences are taken
// (package time, Monotonic Clocks). Code that compares the wrong one lets caches last
// for an hour too long, and the tests that move an injected clock evenly do not see
// it: they move both.
package wallclock

import (
	"testing"
	"time"
	"unsafe"
)

// layout is that of time.Time of a clock that has both readings.
type layout struct {
	// wall has a bit that says so, 33 bits of seconds since 1885, 30 of nanoseconds.
	wall uint64
	_    int64
	_    *time.Location
}

// Set is what the clock would have told in the place of now if its wall clock had been
// set by some seconds before. It fails the test where now has no monotonic reading, or
// package time has changed.
func Set(t testing.TB, now time.Time, by time.Duration) time.Time {
	t.Helper()
	set := now
	(*layout)(unsafe.Pointer(&set)).wall += uint64(by/time.Second) << 30 // of a negative one too: it wraps around
	if apart, passed := set.Round(0).Sub(now.Round(0)), set.Sub(now); apart != by.Truncate(time.Second) || passed != 0 {
		t.Fatalf("setting the clock of %s by %s: got it %s apart, and %s passed; want %s and 0s", now, by, apart, passed, by)
	}
	return set
}

package image

import (
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/wallclock"
)

// TestF29ClockJump sets the clock an hour forward and back. What is remembered about
// tags, and how long a registry is left alone, goes by the time that has passed.
func TestF29ClockJump(t *testing.T) {
	const image = "reg.example/app:v1"
	for _, tt := range []struct {
		name        string
		passed, set time.Duration
		remembered  bool
	}{
		{"forward", time.Second, time.Hour, true},
		{"back", time.Second, -time.Hour, true},
		{"forward, later", 2 * time.Minute, time.Hour, false},
		{"back, later", 2 * time.Minute, -time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for what, script := range map[string][]fault{"a digest": nil, "a rate limit": {answer(429, "Retry-After", "60")}} {
				w := newWorld(t)
				reg := w.registry("reg.example")
				reg.user("app", "v1", "1000")
				reg.user("app", "v2", "1000")
				reg.script(script...)
				set := time.Duration(0)
				r := w.registries(Config{}, func(o *Options) {
					o.Now = func() time.Time { return wallclock.Set(t, w.now(), set) }
				})
				w.gather(r, digestNeed(image))
				if got := len(reg.requests()); got != 1 {
					t.Fatalf("%s: got %d requests for the first question, want 1", what, got)
				}
				w.pass(tt.passed)
				set = tt.set
				question := digestNeed(image)
				if script != nil { // another tag, so that it is not the memory of one failure that answers
					question = digestNeed("reg.example/app:v2")
				}
				w.gather(r, question)
				want := 1
				if tt.remembered {
					want = 0
				}
				if got := len(reg.requests()); got != want {
					t.Errorf("%s: got %d more requests %s after the clock was set by %s, want %d", what, got, tt.passed, tt.set, want)
				}
			}
		})
	}
}

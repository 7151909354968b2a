package image

import (
	"testing"
	"time"
)

// TestFresh requires that whoever asks for a tag anew gets what it stands for
// now, that others go on with what is remembered, and that asking for it all
// the time costs the registry a request a second.
func TestFresh(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	const image = "reg.example/app:v1"
	before := reg.user("app", "v1", "1000")
	r := w.registries(Config{})
	digest := func(fresh bool) string {
		t.Helper()
		fact := w.gather(r, Need{Image: image, Digest: true, Fresh: fresh})[image]
		if fact.Err != nil {
			t.Fatal(fact.Err)
		}
		return fact.Digest
	}
	digest(false)
	after := reg.user("app", "v1", "2000") // the tag moves
	w.pass(freshEnough - time.Millisecond)
	for range 100 {
		if got := digest(true); got != before {
			t.Fatalf("got %s for a fresh question within freshEnough, want the remembered %s", got, before)
		}
	}
	w.pass(time.Millisecond)
	if got := digest(false); got != before {
		t.Errorf("got %s within tagTTL, want the remembered %s", got, before)
	}
	if got := digest(true); got != after {
		t.Errorf("got %s for a fresh question, want %s", got, after)
	}
	for range 100 {
		digest(true)
	}
	if got := digest(false); got != after {
		t.Errorf("got %s after that, want %s", got, after)
	}
	if got := len(reg.requests()); got != 2 {
		t.Errorf("got %d requests, want 2", got)
	}
}

package image

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestFaults is one registry that fails in each way, and what the user reads. What the registry says is in none of the texts.
func TestFaultsT37(t *testing.T) {
	const image = `image "reg.example/app:v1" `
	tests := []struct {
		name     string
		fault    fault
		want     Reason
		requests int
		text     string
	}{
		{"401", answer(401), Unauthorized, 1, "cannot be looked up: registry \"reg.example\" refused access; check the name and the imagePullSecrets"},
		{"401 basic", answer(401, "WWW-Authenticate", `Basic realm="SECRET-XYZ"`), Unauthorized, 1, "cannot be looked up: registry \"reg.example\" refused access; check the name and the imagePullSecrets"},
		{"403", answer(403), Unauthorized, 1, "cannot be looked up: registry \"reg.example\" refused access; check the name and the imagePullSecrets"},
		{"404", answer(404), NotFound, 1, "does not exist in registry \"reg.example\"; check the name, the tag and the digest"},
		{"F11 429", answer(429, "Retry-After", "60"), RateLimited, 1, "cannot be looked up: registry \"reg.example\" has reached its rate limit and is asked again later"},
		{"500", answer(500), Misbehaving, 1, "cannot be looked up: registry \"reg.example\" gave an answer that is not valid"},
		{"503", answer(503, "Retry-After", "60"), Unavailable, 1, "cannot be looked up: registry \"reg.example\" is unavailable and is asked again later"},
		{"reset", reset, Unreachable, 1, "cannot be looked up: registry \"reg.example\" cannot be reached"},
		{"hang", hang, Timeout, 1, "cannot be looked up: registry \"reg.example\" did not answer in time"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		reg.script(tt.fault)
		began := time.Now()
		err := w.gather(w.registries(Config{Timeout: time.Second}), digestNeed("reg.example/app:v1"))["reg.example/app:v1"].Err
		took := time.Since(began)
		if reasonOf(err) != tt.want || err == nil || err.Error() != image+tt.text {
			t.Errorf("%s: got %v, want %s: %s", tt.name, err, tt.want, image+tt.text)
		}
		n := len(reg.requests())
		if n != tt.requests || took > 3*time.Second {
			t.Errorf("%s: got %d requests in %s, want %d", tt.name, n, took, tt.requests)
		}
		t.Logf("%-10s %d requests %8s %s", tt.name, n, took.Round(100*time.Microsecond), reasonOf(err))
	}
}

func TestF11RateLimit(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	reg.script(answer(429, "Retry-After", "60"))
	r := w.registries(Config{})
	for i := range 20 { // different tags, so that it is not the memory of one failure that answers
		image := fmt.Sprintf("reg.example/app:v%d", i)
		if got := reasonOf(w.gather(r, digestNeed(image))[image].Err); got != RateLimited {
			t.Fatalf("got %s, want RateLimited", got)
		}
		w.pass(2 * time.Second)
	}
	if n := len(reg.requests()); n != 1 {
		t.Errorf("got %d requests in the time that the registry asked for, want 1", n)
	}
	reg.script()
	w.pass(21 * time.Second)
	if fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]; fact.Err != nil {
		t.Errorf("got %v after that time, want the digest", fact.Err)
	}
}

func TestF12BreakerOpens(t *testing.T) {
	w := newWorld(t)
	w.names["dead.example"] = append(w.names["dead.example"], netip.MustParseAddr("93.184.216.99"))
	r := w.registries(Config{})
	var reasons []Reason
	for i := range 7 {
		image := fmt.Sprintf("dead.example/app:v%d", i)
		reasons = append(reasons, reasonOf(w.gather(r, digestNeed(image))[image].Err))
	}
	want := []Reason{Unreachable, Unreachable, Unreachable, Unreachable, Unreachable, Unavailable, Unavailable}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.dialled) != 5 {
		t.Errorf("got %d dials, want 5", len(w.dialled))
	}
}

func TestF12LastKnownAnswer(t *testing.T) {
	tests := []struct {
		name  string
		fault fault
		age   time.Duration
		want  Reason
	}{
		{"reset", reset, time.Hour, ""},
		{"500", answer(500), time.Hour, ""},
		{"503", answer(503), time.Hour, ""},
		{"429", answer(429), time.Hour, ""},
		{"hang", hang, time.Hour, ""},
		{"too old", reset, 25 * time.Hour, Unreachable},
		{"gone", answer(404), time.Hour, NotFound},
		{"access taken away", answer(401), time.Hour, Unauthorized},
		{"not an image any more", answer(200, "Content-Type", "application/vnd.docker.distribution.manifest.v1+json"), time.Hour, NotAnImage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg := w.registry("reg.example")
			digest := reg.user("app", "v1", "1000")
			r := w.registries(Config{Timeout: time.Second})
			w.gather(r, digestNeed("reg.example/app:v1"))
			reg.script(tt.fault)
			w.pass(tt.age)
			for range 2 { // asked, then remembered
				fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]
				if got := reasonOf(fact.Err); got != tt.want {
					t.Fatalf("got %s (%v), want %q", got, fact.Err, tt.want)
				}
				if tt.want == "" && (fact.Digest != digest || fact.Stale != tt.age) {
					t.Errorf("got %s, %s old, want %s, %s old", fact.Digest, fact.Stale, digest, tt.age)
				}
				if tt.want != "" && fact.Digest != "" {
					t.Errorf("got %s, want none", fact.Digest)
				}
			}
		})
	}
}

func TestMaxStaleNever(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	r := w.registries(Config{MaxStale: -1})
	w.gather(r, digestNeed("reg.example/app:v1"))
	reg.script(reset)
	w.pass(2 * time.Minute)
	if got := reasonOf(w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"].Err); got != Unreachable {
		t.Errorf("got %s, want Unreachable", got)
	}
}

// A tag that was gone does not come back from memory when the registry then goes away.
func TestF12GoneStaysGone(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	r := w.registries(Config{})
	for _, step := range []struct {
		fault fault
		want  Reason
	}{{answer(404), NotFound}, {reset, Unreachable}} {
		w.one(r, digestNeed("reg.example/app:v1"))
		w.pass(2 * time.Minute)
		reg.script(step.fault)
		if got := reasonOf(w.one(r, digestNeed("reg.example/app:v1")).Err); got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
		w.pass(2 * time.Minute)
	}
}

// That one registry does not have some bytes, or does not give them to one tenant, says nothing about another.
func TestF15FailuresAreNotShared(t *testing.T) {
	w := newWorld(t)
	bad, good, private := w.registry("bad.example"), w.registry("good.example"), w.registry("reg.example")
	digest := good.user("app", "v1", "1000")
	private.user("app", "v1", "1000")
	bad.script(answer(500))
	private.script(challenged("Basic YTpwYXNz", `Basic realm="r"`))
	c := &cluster{secrets: map[string]*corev1.Secret{"team-a/pull": dockerConfig(basicFor("a")), "team-b/pull": dockerConfig(basicFor("b"))}}
	r := w.registries(Config{}, func(o *Options) { o.Secrets = c })
	for _, tt := range []struct {
		image, namespace string
		want             Reason
	}{
		{"bad.example/app@", "team-b", Misbehaving},
		{"reg.example/app@", "team-b", Unauthorized},
		{"reg.example/app@", "team-a", ""},
		{"reg.example/app@", "team-b", Unauthorized},
		{"good.example/app@", "team-b", ""},
	} {
		who := Credentials{Namespace: tt.namespace, PullSecrets: []string{"pull"}}
		fact := r.Gather(context.Background(), []Need{configNeed(tt.image + digest)}, who)[tt.image+digest]
		if got := reasonOf(fact.Err); got != tt.want {
			t.Errorf("%s of %s: got %s, want %q", tt.image, tt.namespace, got, tt.want)
		}
	}
}

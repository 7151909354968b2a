package image

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestColdPinIsOneRequest(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("team/app", "v1", "1000")
	r := w.registries(Config{})
	for range 3 { // then warm
		fact := w.gather(r, digestNeed("reg.example/team/app:v1"))["reg.example/team/app:v1"]
		if fact.Err != nil || fact.Digest != digest {
			t.Fatalf("got %q, %v, want %q", fact.Digest, fact.Err, digest)
		}
	}
	want := []request{{"HEAD", "/v2/team/app/manifests/v1", ""}}
	if diff := cmp.Diff(want, reg.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestPinnedNeedsNoRequest(t *testing.T) {
	w := newWorld(t)
	image := "reg.example/app:v1@" + shaA
	fact := w.gather(w.registries(Config{}), digestNeed(image))[image]
	if fact.Digest != shaA || fact.Err != nil || len(w.dialled) > 0 {
		t.Errorf("got %q, %v and %v dialled, want the digest as written", fact.Digest, fact.Err, w.dialled)
	}
}

func TestDockerHub(t *testing.T) {
	w := newWorld(t)
	hub, auth := w.registry("registry-1.docker.io"), w.registry("auth.docker.io")
	digest := hub.user("library/nginx", "latest", "")
	hub.user("library/redis", "latest", "")
	hub.script(func(rw http.ResponseWriter, r *http.Request) bool {
		return challenged("Bearer t0k3n", `Bearer realm="https://auth.docker.io/token?x=y",service="registry.docker.io",scope="ignored"`)(rw, r)
	})
	auth.script(func(rw http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(rw, `{"token": "t0k3n", "expires_in": 300}`)
		return true
	})
	r := w.registries(Config{})
	if fact := w.gather(r, digestNeed("nginx"))["nginx"]; fact.Err != nil || fact.Digest != digest {
		t.Fatalf("got %q, %v, want %q", fact.Digest, fact.Err, digest)
	}
	want := []request{
		{"HEAD", "/v2/library/nginx/manifests/latest", ""},
		{"HEAD", "/v2/library/nginx/manifests/latest", "Bearer t0k3n"},
	}
	if diff := cmp.Diff(want, hub.requests()); diff != "" {
		t.Errorf("registry (-want +got):\n%s", diff)
	}
	want = []request{{"GET", "/token?scope=repository%3Alibrary%2Fnginx%3Apull&service=registry.docker.io&x=y", ""}}
	if diff := cmp.Diff(want, auth.requests()); diff != "" {
		t.Errorf("token server (-want +got):\n%s", diff)
	}
	// The next repository starts with its token, and the next tag has one.
	w.gather(r, digestNeed("redis"))
	w.gather(r, digestNeed("redis:7"))
	if n := len(hub.requests()); n != 2 {
		t.Errorf("got %d requests to the registry for two more tags, want 2", n)
	}
	if n := len(auth.requests()); n != 1 {
		t.Errorf("got %d token requests for one more repository, want 1", n)
	}
}

// Registries that do not say the digest in a HEAD are read and hashed; schema 1 and web pages are no digests.
func TestT38DigestOfTag(t *testing.T) {
	const manifestPath = "/v2/app/manifests/v1"
	page := func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Content-Type", "text/html")
		rw.Header().Set("Docker-Content-Digest", shaA)
		fmt.Fprint(rw, "<html>sign in</html>")
		return true
	}
	tests := []struct {
		name     string
		fault    fault
		want     Reason
		requests int
	}{
		{"no header", on("HEAD", manifestPath, answer(200, "Content-Type", "application/vnd.oci.image.index.v1+json")), "", 2},
		{"header is no digest", on("HEAD", manifestPath, answer(200, "Content-Type", "application/vnd.oci.image.index.v1+json", "Docker-Content-Digest", "sha256:../..")), "", 2},
		{"no HEAD", on("HEAD", manifestPath, answer(http.StatusMethodNotAllowed)), "", 2},
		{"web page", page, NotAnImage, 2},
		{"schema 1", on("HEAD", manifestPath, answer(200, "Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws", "Docker-Content-Digest", shaA)), NotAnImage, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg := w.registry("reg.example")
			digest := reg.user("app", "v1", "1000")
			if tt.want != "" {
				digest = ""
			}
			reg.script(tt.fault)
			fact := w.gather(w.registries(Config{}), digestNeed("reg.example/app:v1"))["reg.example/app:v1"]
			if reasonOf(fact.Err) != tt.want || fact.Digest != digest {
				t.Errorf("got %q, %v, want %q, %q", fact.Digest, fact.Err, digest, tt.want)
			}
			if n := len(reg.requests()); n != tt.requests {
				t.Errorf("got %d requests, want %d", n, tt.requests)
			}
		})
	}
}

func TestF13ColdHerd(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("app", "v1", "1000")
	r := w.registries(Config{})
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if fact := w.gather(r, configNeed("reg.example/app:v1"))["reg.example/app:v1"]; fact.Digest != digest || fact.Err != nil {
				t.Errorf("got %q, %v, want %q", fact.Digest, fact.Err, digest)
			}
		})
	}
	wg.Wait()
	if seen := reg.requests(); len(seen) != 3 {
		t.Errorf("got %d requests, want a HEAD, a manifest and a configuration: %v", len(seen), seen)
	}
}

// Who asks first and gives up does not take the answer away from those who wait with it.
func TestF13LeaderGivesUp(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("app", "v1", "1000")
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	reg.script(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { close(started) })
		<-release
		return false
	})
	r := w.registries(Config{})
	leader, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		fact := r.Gather(leader, []Need{digestNeed("reg.example/app:v1")}, Credentials{})["reg.example/app:v1"]
		if got := reasonOf(fact.Err); got != Timeout {
			t.Errorf("leader: got %s, want Timeout", got)
		}
	})
	<-started
	wg.Go(func() {
		if fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]; fact.Digest != digest || fact.Err != nil {
			t.Errorf("follower: got %q, %v, want %q", fact.Digest, fact.Err, digest)
		}
	})
	time.Sleep(20 * time.Millisecond) // the follower joins
	cancel()
	time.Sleep(20 * time.Millisecond)
	close(release)
	wg.Wait()
	if n := len(reg.requests()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}

// A tag in use is asked for again before it expires, once, and nobody waits for that.
func TestF14BackgroundRefresh(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	before := reg.user("app", "v1", "1000")
	r := w.registries(Config{TagTTL: 100 * time.Second})
	ask := func() Fact { return w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"] }
	ask()
	after := reg.user("app", "v1", "2000") // the tag moves
	w.pass(60 * time.Second)               // less than three quarters of 90
	ask()
	if n := len(reg.requests()); n != 1 {
		t.Fatalf("got %d requests while the answer is young, want 1", n)
	}
	w.pass(29 * time.Second) // more than three quarters of 110, less than 90
	release := make(chan struct{})
	reg.script(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	for range 50 {
		if fact := ask(); fact.Digest != before || fact.Err != nil {
			t.Fatalf("got %q, %v, want the old digest without waiting", fact.Digest, fact.Err)
		}
	}
	close(release)
	deadline := time.Now().Add(5 * time.Second)
	for ask().Digest != after {
		if time.Now().After(deadline) {
			t.Fatal("got no refresh in the background")
		}
		time.Sleep(time.Millisecond)
	}
	if n := len(reg.requests()); n != 1 {
		t.Errorf("got %d requests for the refresh, want 1", n)
	}
}

func TestF14Jitter(t *testing.T) {
	record(t)
	r := New(Config{TagTTL: 100 * time.Second}, Options{})
	lives := map[time.Duration]bool{}
	for range 200 {
		a := r.remember(nil, shaA, nil)
		life := a.expires.Sub(a.at)
		if life < 90*time.Second || life > 110*time.Second {
			t.Fatalf("got %s, want 100s give or take a tenth", life)
		}
		lives[life] = true
	}
	if len(lives) < 10 {
		t.Errorf("got %d different lives of 200, want them spread", len(lives))
	}
}

func TestF15FixedImageWorksSoon(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	r := w.registries(Config{})
	ask := func() Fact { return w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"] }
	for range 10 {
		if got := reasonOf(ask().Err); got != NotFound {
			t.Fatalf("got %s, want NotFound", got)
		}
	}
	if n := len(reg.requests()); n != 1 {
		t.Errorf("got %d requests for what was just not there, want 1", n)
	}
	reg.user("app", "v1", "1000")
	w.pass(3 * time.Second)
	if fact := ask(); fact.Err != nil {
		t.Errorf("got %v 3s after it was pushed, want the digest", fact.Err)
	}
}

package image

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestF24DeadlineOfTheReview(t *testing.T) {
	w := newWorld(t)
	slow, good := w.registry("slow.example"), w.registry("good.example")
	slow.script(hang)
	digest := good.user("app", "v1", "1000")
	r := w.registries(Config{Timeout: 3 * time.Second})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	began := time.Now()
	facts := r.Gather(ctx, []Need{digestNeed("slow.example/app:v1"), digestNeed("good.example/app:v1")}, Credentials{})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("got an answer after %s, want it at the deadline of 1s", took)
	}
	if got := reasonOf(facts["slow.example/app:v1"].Err); got != Timeout {
		t.Errorf("slow: got %s, want Timeout", got)
	}
	if got := facts["good.example/app:v1"].Digest; got != digest {
		t.Errorf("good: got %q, want %q", got, digest)
	}
}

// One registry hangs with 500 questions waiting; questions to another take no longer for it.
func TestT48HeadOfLine(t *testing.T) {
	w := newWorld(t)
	bad, good := w.registry("bad.example"), w.registry("good.example")
	bad.script(hang)
	for i := range 50 {
		good.user("app", fmt.Sprintf("q%d", i), "1000")
		good.user("app", fmt.Sprintf("n%d", i), "1000")
	}
	r := w.registries(Config{Timeout: 2 * time.Second})
	measure := func(prefix string) time.Duration {
		var took []time.Duration
		for i := range 50 {
			began := time.Now()
			image := fmt.Sprintf("good.example/app:%s%d", prefix, i)
			if fact := w.gather(r, configNeed(image))[image]; fact.Err != nil {
				t.Fatal(fact.Err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[45]
	}
	quiet := measure("q")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			r.Gather(ctx, []Need{digestNeed(fmt.Sprintf("bad.example/app:v%d", i))}, Credentials{})
		})
	}
	time.Sleep(100 * time.Millisecond)
	noisy := measure("n")
	cancel()
	wg.Wait()
	t.Logf("p90 of another registry: %s quiet, %s with 500 waiting for one that hangs", quiet, noisy)
	if noisy > 5*quiet+200*time.Millisecond {
		t.Errorf("got %s with a hanging neighbour, %s without", noisy, quiet)
	}
	if n := len(bad.requests()); n > maxRequests {
		t.Errorf("got %d requests at once to one registry, want at most %d", n, maxRequests)
	}
}

// BenchmarkT48HeadOfLine compares cold pins of one registry, as reviews ask for them, without and with 500 requests in flight at another
// that hangs. The rounds alternate, so that whatever else the machine does slows both.
func BenchmarkT48HeadOfLine(b *testing.B) {
	const rounds, pins = 20, 250 // of each kind, in one iteration
	w := newWorld(b)
	bad, good := w.registry("bad.example"), w.registry("good.example")
	good.user("app", "v1", "1000")
	good.script(func(_ http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = "/v2/app/manifests/v1" // every tag is there, and cold
		return false
	})
	r := w.registries(Config{Timeout: 25 * time.Second})
	tag := 0
	next := func(host string) Need { tag++; return digestNeed(fmt.Sprintf("%s.example/app:v%d", host, tag)) }
	measure := func(took []time.Duration) []time.Duration {
		runtime.GC() // before either kind of round: what starting and ending 500 requests leaves behind is not what is compared
		for range pins {
			need := next("good")
			began := time.Now()
			if fact := w.one(r, need); fact.Err != nil {
				b.Fatal(fact.Err)
			}
			took = append(took, time.Since(began))
		}
		good.requests()
		return took
	}
	var quiet, noisy []time.Duration
	for b.Loop() {
		for range rounds {
			quiet = measure(quiet)
			release := make(chan struct{})
			bad.script(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
			var wg sync.WaitGroup
			for range 500 {
				need := next("bad")
				wg.Go(func() { w.one(r, need) })
			}
			for bad.waiting() < maxRequests {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond) // the others queue
			noisy = measure(noisy)
			if n := bad.waiting(); n != maxRequests {
				b.Fatalf("got %d requests at the registry that hangs, want %d", n, maxRequests)
			}
			close(release)
			wg.Wait()
			bad.requests()
		}
	}
	p99 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)*99/100])
	}
	b.ReportMetric(p99(quiet), "p99-quiet-ns")
	b.ReportMetric(p99(noisy), "p99-noisy-ns")
	b.ReportMetric(p99(noisy)/p99(quiet), "ratio")
}

func TestT65ManyImages(t *testing.T) {
	w := newWorld(t)
	var needs []Need
	for i := range 200 {
		needs = append(needs, digestNeed(fmt.Sprintf("r%d.example/app:v1", i)), digestNeed(fmt.Sprintf("r%d.example/app:v1", i)))
	}
	facts := w.gather(w.registries(Config{}), needs...)
	count := map[Reason]int{}
	for _, f := range facts {
		count[reasonOf(f.Err)]++
	}
	if diff := cmp.Diff(map[Reason]int{Unreachable: 64, TooManyImages: 136}, count); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := `image "r199.example/app:v1" was not looked up: the object names more than 64 different images`
	if got := facts["r199.example/app:v1"].Err.Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMirrors(t *testing.T) {
	cfg := Config{Mirrors: []Mirror{
		{From: "docker.io/team", To: []string{"first.example/hub/team", "second.example"}},
		{From: "docker.io", To: []string{"third.example/docker.io"}},
	}}
	tests := []struct {
		image string
		want  []source
	}{
		{"team/app", []source{{"first.example", "hub/team/app"}, {"second.example", "app"}, {"third.example", "docker.io/team/app"}, {"docker.io", "team/app"}}},
		{"teamwork/app", []source{{"third.example", "docker.io/teamwork/app"}, {"docker.io", "teamwork/app"}}},
		{"nginx", []source{{"third.example", "docker.io/library/nginx"}, {"docker.io", "library/nginx"}}},
		{"docker.io.evil/app", []source{{"docker.io.evil", "app"}}},
		{"ghcr.io/team/app", []source{{"ghcr.io", "team/app"}}},
	}
	for _, tt := range tests {
		ref, err := ParseReference(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.sources(ref); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.image, got, tt.want)
		}
	}
}

func TestMirrorsAreTriedInOrder(t *testing.T) {
	w := newWorld(t)
	cfg := Config{Mirrors: []Mirror{{From: "reg.example", To: []string{"dead.example", "lies.example", "mirror.example/reg"}}}}
	origin, lies, mirror := w.registry("reg.example"), w.registry("lies.example"), w.registry("mirror.example")
	digest := mirror.user("reg/app", "v1", "1000")
	origin.user("app", "v1", "1000")
	lies.script(on("GET", "", answer(200)), answer(404))
	r := w.registries(cfg)
	fact := w.gather(r, configNeed("reg.example/app:v1"))["reg.example/app:v1"]
	if fact.Err != nil || fact.Digest != digest || len(fact.Platforms) != 1 {
		t.Fatalf("got %+v, want the image from the third mirror", fact)
	}
	if n := len(origin.requests()); n != 0 {
		t.Errorf("got %d requests to the registry itself, want 0", n)
	}
	if got, want := fact.Reference.Pin(fact.Digest), "reg.example/app:v1@"+digest; got != want {
		t.Errorf("got %s, want %s: the public name stays", got, want)
	}
	mirror.script(answer(500))
	if fact := w.gather(r, digestNeed("reg.example/app:v2"))["reg.example/app:v2"]; reasonOf(fact.Err) != NotFound || !strings.Contains(fact.Err.Error(), `"reg.example"`) {
		t.Errorf("got %v, want what the registry itself says", fact.Err)
	}
}

func TestWarm(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	var needs []Need
	for i := range 20 {
		reg.user("app", fmt.Sprintf("v%d", i), "1000")
		needs = append(needs, digestNeed(fmt.Sprintf("reg.example/app:v%d", i)))
	}
	r := w.registries(Config{})
	r.Warm(context.Background(), needs, Credentials{})
	reg.requests()
	w.gather(r, needs...)
	if n := len(reg.requests()); n != 0 {
		t.Errorf("got %d requests after warming up, want 0", n)
	}
}

func BenchmarkGatherWarm(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := New(Config{}, Options{})
			var needs []Need
			for i := range n {
				image := fmt.Sprintf("reg.example/app:v%d", i)
				q := r.question(configNeed(image), nil)
				r.tags.put(q.tagKey(), r.remember(nil, shaA, nil), 1)
				needs = append(needs, configNeed(image))
			}
			r.contents.put(contentsKey{shaA, ""}, &contents{platforms: []Platform{{OS: "linux"}}, users: []user{{}}}, 100)
			b.ReportAllocs()
			for b.Loop() {
				if facts := r.Gather(context.Background(), needs, Credentials{}); len(facts) != n {
					b.Fatal(facts)
				}
			}
		})
	}
}

// What the bytes say, they say at every mirror: the next is not asked.
func TestMirrorsAgreeOnBytes(t *testing.T) {
	w := newWorld(t)
	origin, mirror := w.registry("reg.example"), w.registry("mirror.example")
	body := []byte(`{"schemaVersion": 2, "manifests": 7}`)
	mirror.script(func(rw http.ResponseWriter, _ *http.Request) bool { _, _ = rw.Write(body); return true })
	image := "reg.example/app@" + digestOf(body)
	r := w.registries(Config{Mirrors: []Mirror{{From: "reg.example", To: []string{"mirror.example"}}}})
	if got := reasonOf(w.one(r, configNeed(image)).Err); got != NotAnImage {
		t.Errorf("got %s, want NotAnImage", got)
	}
	if n := len(origin.requests()); n != 0 {
		t.Errorf("got %d requests to the registry itself, want 0", n)
	}
}

// A registry that hangs does not hold up another that has the same bytes.
func TestT48SameDigest(t *testing.T) {
	w := newWorld(t)
	bad, good := w.registry("bad.example"), w.registry("good.example")
	digest := good.user("app", "v1", "1000")
	bad.script(hang)
	r := w.registries(Config{Timeout: 3 * time.Second})
	var wg sync.WaitGroup
	wg.Go(func() { w.one(r, configNeed("bad.example/app@"+digest)) })
	for len(bad.requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if fact := w.one(r, configNeed("good.example/app@"+digest)); fact.Err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("got %v after %s, want the image at once", fact.Err, time.Since(began))
	}
	wg.Wait()
}

package image

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Eight registries, all hostile: every image has as many and as large configurations as is still read.
func TestT46Memory(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg0.example")
	for i := range 8 {
		name := fmt.Sprintf("reg%d.example", i)
		addr := netip.AddrFrom4([4]byte{93, 184, 218, byte(i)})
		w.names[name], w.servers[addr.String()+":443"] = []netip.Addr{addr}, reg
	}
	var all []map[string]any
	for i := range maxChildren {
		all = append(all, reg.image("app", "", built{os: "linux", arch: fmt.Sprint(i), config: map[string]any{"Env": []string{strings.Repeat("x", 120<<10)}}}))
	}
	const images = 4
	for v := range images { // different by their order
		reg.index("app", fmt.Sprint(v), append(all[v:], all[:v]...)...)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse >> 20
	}
	runtime.GC()
	before, peak := heap(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			peak = max(peak, heap())
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	r := w.registries(Config{Timeout: 20 * time.Second})
	var wg sync.WaitGroup
	for i := range 8 * images {
		wg.Go(func() {
			image := fmt.Sprintf("reg%d.example/app:%d", i%8, i/8)
			if fact := w.one(r, configNeed(image)); fact.Err != nil && reasonOf(fact.Err) != Timeout {
				t.Errorf("%s: %v", image, fact.Err)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	t.Logf("heap in use: %d MiB before, of which the registry's images are most, %d MiB at most", before, peak)
	if peak-before > 128 {
		t.Errorf("got %d MiB more heap, want at most 128", peak-before)
	}
	if size := r.contents.size(); size > contentsBytes {
		t.Errorf("got %d bytes kept, want at most %d", size, contentsBytes)
	}
}

// asking is how many goroutines are in a request of ours.
func asking() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "image.(*client).exchange(")
}

// What hangs ends, and leaves nothing behind.
func TestT47Goroutines(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.script(hang)
	r := w.registries(Config{Timeout: 2 * time.Second})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for i := range 20 {
		go r.Gather(ctx, []Need{digestNeed(fmt.Sprintf("reg.example/app:v%d", i))}, Credentials{})
	}
	for _, want := range []int{20, 0} { // all that asked, and after the timeout none
		deadline := time.Now().Add(5 * time.Second)
		for asking() != want {
			if time.Now().After(deadline) {
				t.Fatalf("got %d goroutines asking the registry, want %d", asking(), want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// A panic while an image is read is that image's failure.
func TestPanicIsAFailure(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	r := w.registries(Config{}, func(o *Options) { o.Resolver = nil })
	r.client.transport = nil
	if got := reasonOf(w.one(r, digestNeed("reg.example/app:v1")).Err); got != Misbehaving {
		t.Errorf("got %s, want Misbehaving", got)
	}
}

// So is one outside the flights that requests are made in, and the other images of the review keep their answers.
func TestPanicInAskIsAFailure(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("app", "v1", "1000")
	r := w.registries(Config{})
	r.contents = nil
	facts := w.gather(r, configNeed("reg.example/app:v1"), digestNeed("reg.example/app:v1@"+digest), digestNeed("reg.example:443/app:v1"))
	if fact := facts["reg.example/app:v1"]; reasonOf(fact.Err) != Misbehaving || fact.Image != "reg.example/app:v1" || fact.Platforms != nil {
		t.Errorf("got %+v, want Misbehaving", fact)
	}
	for _, image := range []string{"reg.example/app:v1@" + digest, "reg.example:443/app:v1"} {
		if fact := facts[image]; fact.Err != nil || fact.Digest != digest {
			t.Errorf("%s: got %q, %v, want %q", image, fact.Digest, fact.Err, digest)
		}
	}
}

// What a body may have is checked while it comes, beside what the image may have.
func TestT46BodyBound(t *testing.T) {
	record(t)
	for _, n := range []int64{0, 99, 100, 101, 200, readStep, readStep + 1} {
		m := &memory{limit: maxImageBytes}
		body, err := m.read(strings.NewReader(strings.Repeat("x", int(n))), 100)
		want := Reason("")
		if n > 100 {
			want = TooLarge
		}
		if reasonOfFailure(err) != want || want == "" && int64(len(body)) != n {
			t.Errorf("%d of 100 bytes: got %d, %v, want %q", n, len(body), err, want)
		}
		if used := m.used.Load(); used != min(n, readStep) {
			t.Errorf("%d of 100 bytes: got %d accounted for", n, used)
		}
	}
}

func reasonOfFailure(err error) Reason {
	if f := asFailure(err); f != nil {
		return f.reason
	}
	return ""
}

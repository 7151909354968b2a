package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
)

// slowProcessor is one that all reviews share, as they share that of a starved
// replica, whatever else the machine of the test does: it works for one at a time,
// and for who has waited longest. A review takes some slices of its time.
type slowProcessor struct {
	mu     sync.Mutex // which hands over in order to who waits for longer than a millisecond
	begun  time.Time
	worked time.Duration
	done   int // slices
}

const (
	reviewSlice  = 5 * time.Millisecond
	reviewSlices = 3
)

func (p *slowProcessor) work() {
	for range reviewSlices {
		p.mu.Lock()
		began := time.Now()
		if p.begun.IsZero() {
			p.begun = began
		}
		time.Sleep(reviewSlice)
		p.worked += time.Since(began)
		p.done++
		p.mu.Unlock()
	}
}

// busy is the part of the time since the first review in which it has worked.
func (p *slowProcessor) busy() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.worked.Seconds() / time.Since(p.begun).Seconds()
}

// crowd is what happened to the reviews of many clients.
type crowd struct{ answered, shed, lost atomic.Int64 }

// ask posts reviews until ctx ends, each as an API server does: it waits for so long,
// and then goes away.
func (c *crowd) ask(ctx context.Context, t *testing.T, url string, wait time.Duration) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: wait}
	defer client.CloseIdleConnections()
	body := podReview(safeSpec, nil)
	for ctx.Err() == nil {
		response, err := client.Post(url+"?timeout="+wait.String(), "application/json", bytes.NewReader(body))
		if err != nil {
			c.lost.Add(1)
			continue
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		switch {
		case err != nil:
			c.lost.Add(1)
		case response.StatusCode == http.StatusOK:
			c.answered.Add(1)
		case response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "":
			c.shed.Add(1)
		default:
			t.Errorf("got status %d, header %v, want 200, or 429 without Retry-After", response.StatusCode, response.Header)
			return
		}
	}
}

// TestF19Overload asks for many times as much as can be answered in time: all clients
// together would have each review take longer than an API server waits. Each must be
// answered or turned away while it still waits, and at least four fifths of what the
// processor could do must end in answers. All figures are ratios of one run.
func TestF19Overload(t *testing.T) {
	const (
		wait    = 3 * time.Second
		clients = 320 // one after the other: 4.8 s
		lasting = 4 * time.Second
	)
	processor, metrics := &slowProcessor{}, newMetrics(prometheus.NewRegistry())
	e := &endpoint{
		name: "validate", metrics: metrics, log: slog.New(slog.DiscardHandler), draining: &atomic.Bool{}, room: newRoom(),
		admit: func(context.Context, *request) *admissionv1.AdmissionResponse { processor.work(); return allowed() },
	}
	e.room.turns.free = leastTurns // whatever machine this is
	server := httptest.NewServer(e)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	var seen crowd
	var group sync.WaitGroup
	for range clients {
		group.Go(func() { seen.ask(ctx, t, server.URL, wait) })
	}
	<-ctx.Done()
	busy := processor.busy()
	group.Wait()
	answered, shed := seen.answered.Load(), seen.shed.Load()
	useful := float64(answered*reviewSlices) / float64(processor.done)
	t.Logf("%d answered, %d turned away; the processor was busy for %.0f %% of the time, and %.0f %% of its work ended in answers", answered, shed, 100*busy, 100*useful)
	if lost := seen.lost.Load(); lost > 0 {
		t.Errorf("got %d reviews neither answered nor turned away in %s, want none", lost, wait)
	}
	if shed < answered {
		t.Errorf("got %d answered and %d turned away: that is no overload, and the test proves nothing", answered, shed)
	}
	if got := busy * useful; got < 0.8 {
		t.Errorf("got %.0f %% of what can be done at best, want 80 %% and more", 100*got)
	}
	if got := testutil.ToFloat64(metrics.shed.WithLabelValues("validate")); got != float64(shed) {
		t.Errorf("got %v counted, want %d", got, shed)
	}
	if got, want := e.room.turns.free, leastTurns; got != want || e.room.turns.waiting != 0 || within(e.room) != 0 {
		t.Errorf("got %d turns left, %d waiting and %d inside at the end, want %d, 0 and 0", got, e.room.turns.waiting, within(e.room), want)
	}
}

// TestF19Patience has no turn come free: a review is turned away with at least half of
// its time left, for its answer and for whoever asks again.
func TestF19Patience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{
			name: "validate", metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler), draining: &atomic.Bool{}, room: newRoom(),
		}
		e.room.turns.free = 0
		began, response := time.Now(), httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, "/validate?timeout=5s", bytes.NewReader(podReview(safeSpec, nil)))
		request.Header.Set("Content-Type", "application/json")
		e.ServeHTTP(response, request)
		waited := time.Since(began)
		if response.Code != http.StatusTooManyRequests || waited == 0 || 2*waited > deadline("5s") {
			t.Errorf("got status %d after %s, want 429 after at most half of %s", response.Code, waited, deadline("5s"))
		}
	})
}

// waitingImages answers when it is told to.
type waitingImages struct {
	asked  atomic.Int64
	answer chan struct{}
}

func (w *waitingImages) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	w.asked.Add(1)
	select {
	case <-w.answer:
	case <-ctx.Done():
	}
	return (&fakeImages{}).Gather(ctx, needs, who)
}

// TestF19WaitingTakesNoTurn has more reviews wait for a registry than there are turns.
// One that needs none is answered meanwhile, and all are in the end. T48.
func TestF19WaitingTakesNoTurn(t *testing.T) {
	w := newTestWebhook(t)
	slow := &waitingImages{answer: make(chan struct{})}
	w.admission.images = slow
	w.mutate.room.turns.free = 2
	w.validate.room = w.mutate.room
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() { post(t, w.mutate, podReview(safeSpec, nil)) })
	}
	for end := time.Now().Add(20 * time.Second); slow.asked.Load() < 10; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d reviews waiting for the registry, want 10", slow.asked.Load())
		}
	}
	done := podReview(safeSpec, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete })
	if got := post(t, w.validate, done); !got.Allowed {
		t.Errorf("got %v for a review that needs no registry, want it allowed", got.Result)
	}
	close(slow.answer)
	waiting.Wait()
	if got := w.mutate.room.turns.free; got != 2 {
		t.Errorf("got %d turns left, want 2", got)
	}
}

// blockedNamespaces answers when it is told to.
type blockedNamespaces struct {
	fakeNamespaces
	asked  chan struct{}
	answer chan struct{}
}

func (b *blockedNamespaces) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	b.asked <- struct{}{}
	<-b.answer
	return b.fakeNamespaces.GetNamespace(ctx, name)
}

// TestF19TurnsAfterAPanic requires that a defect costs no turn, nor does one while
// somebody else has it.
func TestF19TurnsAfterAPanic(t *testing.T) {
	w := newTestWebhook(t)
	turns := w.validate.room.turns
	turns.free = 1
	w.validate.admit = func(_ context.Context, r *request) *admissionv1.AdmissionResponse {
		r.turns.giveBack()
		defer r.turns.retake()
		panic("on purpose")
	}
	for range 3 {
		if got := post(t, w.validate, podReview(safeSpec, nil)); got.Allowed {
			t.Error("got an object allowed that was not judged")
		}
	}
	if turns.free != 1 {
		t.Errorf("got %d turns left, want 1", turns.free)
	}
	blocked := &blockedNamespaces{fakeNamespaces{"web": nil}, make(chan struct{}), make(chan struct{})}
	w.admission.namespaces, w.validate.admit = blocked, w.admission.validate
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { post(t, w.validate, podReview(privilegedSpec, nil)) })
	}
	for i := range 2 { // the second has the turn while the first waits
		select {
		case <-blocked.asked:
		case <-time.After(20 * time.Second):
			t.Fatalf("got %d reviews at work, want 2", i)
		}
	}
	close(blocked.answer)
	both.Wait()
	if turns.free != 1 {
		t.Errorf("got %d turns left, want 1", turns.free)
	}
}

// awaitQueue returns once so many wait.
func (t *turns) awaitQueue(want int) {
	for waiting := -1; waiting != want; time.Sleep(time.Millisecond) {
		t.mu.Lock()
		waiting = t.waiting
		t.mu.Unlock()
	}
}

// TestTurnsInOrder holds that who came first goes first, and that who gives up is not
// waited for.
func TestTurnsInOrder(t *testing.T) {
	turns := &turns{free: 1}
	far := time.Now().Add(time.Hour)
	if err := turns.take(t.Context(), "a", far); err != nil {
		t.Fatal(err)
	}
	if err := turns.take(t.Context(), "a", time.Now()); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v at the latest time, want %v", err, errNoRoom)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turns.take(gone, "a", far); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v for a client that is gone, want %v", err, errNoRoom)
	}
	order := make(chan int, 3)
	for i := range 3 {
		go func() {
			if turns.take(t.Context(), "a", far) == nil {
				order <- i
				turns.giveBack()
			}
		}()
		turns.awaitQueue(i + 1)
	}
	turns.giveBack()
	for i := range 3 {
		if got := <-order; got != i {
			t.Errorf("got %d as number %d", got, i)
		}
	}
}

// TestT64TurnsOfClients holds that a client which floods a replica does not keep others
// waiting.
func TestT64TurnsOfClients(t *testing.T) {
	turns := &turns{free: 1}
	far := time.Now().Add(time.Hour)
	if err := turns.take(t.Context(), "flood", far); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 7)
	for i, client := range []string{"flood", "flood", "flood", "flood", "a", "b", "a"} {
		go func() {
			if turns.take(t.Context(), client, far) == nil {
				order <- client
				turns.giveBack()
			}
		}()
		turns.awaitQueue(i + 1)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turns.take(gone, "c", far); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v for a client that is gone, want %v", err, errNoRoom)
	}
	turns.giveBack()
	var got []string
	for range 7 {
		got = append(got, <-order)
	}
	if diff := cmp.Diff([]string{"flood", "a", "b", "flood", "a", "flood", "flood"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	turns.mu.Lock()
	defer turns.mu.Unlock()
	if len(turns.queues) != 0 || turns.next.Len() != 0 || turns.waiting != 0 {
		t.Errorf("got %d queues and %d waiting at the end, want none", len(turns.queues), turns.waiting)
	}
}

// within is how many reviews are under way.
func within(r *room) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inside
}

// TestTooManyReviews turns away what comes above all bounds, at once, and of one client
// before there is no room for others.
func TestTooManyReviews(t *testing.T) {
	r := newRoom()
	for _, client := range []string{"a", "b"} {
		for range maxReviewsOf {
			if !r.enter(client) {
				t.Fatalf("got a review of %s turned away, want it in", client)
			}
		}
		if r.enter(client) {
			t.Errorf("got one too many of %s in", client)
		}
	}
	if r.enter("c") {
		t.Error("got one too many in")
	}
	r.leave("a")
	if !r.enter("c") {
		t.Error("got a review turned away after another has left")
	}
	for range maxReviewsOf {
		r.leave("b")
	}
	if _, kept := r.of["b"]; kept {
		t.Error("got a client remembered that has left")
	}
}

// TestF25AnswerNobodyTakes has a client stop reading, as one does that is cut off
// without a word. The memory of its review is free again soon.
func TestF25AnswerNobodyTakes(t *testing.T) {
	for range 2 { // others measure the memory of the process
		t.Cleanup(runtime.GC)
	}
	large := strings.Repeat("x", 16<<20) // more than connections keep
	e := &endpoint{
		name: "validate", metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler), draining: &atomic.Bool{}, room: newRoom(),
		admit: func(context.Context, *request) *admissionv1.AdmissionResponse { return denied(large) },
	}
	server := httptest.NewServer(e)
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	request, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(podReview(safeSpec, nil)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if err := request.Write(connection); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); within(e.room) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the review did not begin")
		}
	}
	for end := time.Now().Add(maxWrite + 20*time.Second); within(e.room) != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the review is still there %s after nobody takes its answer", maxWrite+20*time.Second)
		}
	}
	if !e.room.bodies.TryAcquire(maxBodies) {
		t.Error("its memory is not free")
	}
}

// BenchmarkTurn is what a review pays where there is no overload: its turn, the
// memory of its body, and others between.
func BenchmarkTurn(b *testing.B) {
	r := newRoom()
	latest := time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if !r.enter("a") || r.takeBytes(b.Context(), 10_000, latest) != nil || r.turns.take(b.Context(), "a", latest) != nil {
			b.Fatal("got no room")
		}
		for range 2 { // for its namespace, and for what images say
			r.turns.giveBack()
			r.turns.retake()
		}
		r.turns.giveBack()
		r.bodies.Release(10_000)
		r.leave("a")
	}
}

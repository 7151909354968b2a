package webhook

import (
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	// maxReviews bounds the reviews under way, waiting ones included. An API server asks
	// about 600 at once at most, by its own bound on requests in flight
	// (--max-requests-inflight and --max-mutating-requests-inflight).
	maxReviews = 2048
	// leastTurns is how many reviews are computed at once on the smallest machine. They
	// share its processors: some more than there are let a small review pass a large one.
	leastTurns = 16
	// patience is the part of a review's time, one of so many, that it may wait for its
	// turn. What is left is for the answer: one that comes too late costs as much as
	// one in time, and with all of them late nobody is answered at all.
	patience = 2
)

// errNoRoom is what a review is turned away with. The API server applies the webhook's
// failurePolicy to it, as to every status but 200.
var errNoRoom = errors.New("too many reviews at once; try again")

// room is what all reviews of a replica share, and what bounds them: memory, and the
// processors. A review that comes while there is no room waits, and is turned away
// while there is still time for the API server to hear of it.
type room struct {
	inside atomic.Int64        // of maxReviews
	bodies *semaphore.Weighted // of maxBodies
	turns  *turns
	// handshakes are the turns of TLS handshakes.
	handshakes *turns
	told       rate.Sometimes // of reviews that were turned away
}

func newRoom() *room {
	number := max(leastTurns, 2*runtime.GOMAXPROCS(0))
	return &room{
		bodies: semaphore.NewWeighted(maxBodies),
		turns:  &turns{free: number}, handshakes: &turns{free: number},
		told: rate.Sometimes{Interval: 10 * time.Second},
	}
}

// enter counts a review in, unless there are too many. Whoever is in must leave.
func (r *room) enter() bool {
	if r.inside.Add(1) <= maxReviews {
		return true
	}
	r.inside.Add(-1)
	return false
}

func (r *room) leave() { r.inside.Add(-1) }

// takeBytes sets aside memory for a body, and waits for it until a time at most.
func (r *room) takeBytes(ctx context.Context, size int64, until time.Time) error {
	if r.bodies.TryAcquire(size) {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if r.bodies.Acquire(ctx, size) != nil {
		return errNoRoom
	}
	return nil
}

// turns bounds how many reviews are computed at once. All that come computed side by
// side would each take as long as all of them, and beyond some number longer than any
// has: then none is answered in time. A review that waits for somebody else, such as
// a registry, gives its turn back meanwhile: it takes no processor, and must not keep
// others from theirs. First come, first served. Nil bounds nothing.
type turns struct {
	mu      sync.Mutex
	free    int       // below zero after some have come back from waiting
	waiting list.List // of chan struct{}, which are closed when it is their turn
}

// take waits for a turn, until a time at most.
func (t *turns) take(ctx context.Context, until time.Time) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := t.waiting.PushBack(turn)
	t.mu.Unlock()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-turn: // at the same moment
		return nil
	default:
	}
	t.waiting.Remove(place)
	return errNoRoom
}

// giveBack lets the next one take the turn.
func (t *turns) giveBack() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	next := t.waiting.Front()
	if t.free <= 0 || next == nil {
		return
	}
	t.free--
	close(t.waiting.Remove(next).(chan struct{}))
}

// retake takes the turn again after it was given back to wait for something. It does
// not wait once more: half of the work is done, and would be for nothing.
func (t *turns) retake() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free--
}

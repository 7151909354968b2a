package webhook

import (
	"container/list"
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	// maxReviews bounds the reviews under way, waiting ones included. An API server asks
	// about 600 at once at most, by its own bound on requests in flight
	// (--max-requests-inflight and --max-mutating-requests-inflight).
	maxReviews = 2048
	// maxReviewsOf bounds those of one client: whoever reaches the port can begin as many
	// as he likes, and needs no more than a connection for each.
	maxReviewsOf = maxReviews / 2
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
	mu     sync.Mutex
	inside int            // of maxReviews
	of     map[string]int // of maxReviewsOf, by client

	bodies *semaphore.Weighted // of maxBodies
	turns  *turns
	// handshakes are the turns of TLS handshakes.
	handshakes *turns
	told       rate.Sometimes // of reviews that were turned away
}

func newRoom() *room {
	number := max(leastTurns, 2*runtime.GOMAXPROCS(0))
	return &room{
		of: map[string]int{}, bodies: semaphore.NewWeighted(maxBodies),
		turns: &turns{free: number}, handshakes: &turns{free: number},
		told: rate.Sometimes{Interval: 10 * time.Second},
	}
}

// enter counts a review of a client in, unless there are too many. Whoever is in must
// leave.
func (r *room) enter(client string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inside >= maxReviews || r.of[client] >= maxReviewsOf {
		return false
	}
	r.inside++
	r.of[client]++
	return true
}

func (r *room) leave(client string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside--
	if r.of[client]--; r.of[client] == 0 {
		delete(r.of, client)
	}
}

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
// others from theirs. Clients have the turns one after the other, and each uses its own
// in the order in which it came: one that floods a replica, which anybody can who
// reaches the port, must not shut out the API server.
type turns struct {
	mu      sync.Mutex
	free    int               // below zero after some have come back from waiting
	waiting int               // in all queues
	queues  map[string]*queue // by client; none is empty
	next    list.List         // of *queue: whose is the next turn, first
}

// queue is what waits of one client.
type queue struct {
	client string
	places list.List     // of chan struct{}, which are closed when it is their turn
	order  *list.Element // of turns.next
}

// take waits for a turn of a client, until a time at most.
func (t *turns) take(ctx context.Context, client string, until time.Time) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	q := t.queue(client)
	place := q.places.PushBack(turn)
	t.waiting++
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
	t.remove(q, place)
	return errNoRoom
}

// queue is that of a client, which is about to wait in it.
func (t *turns) queue(client string) *queue {
	if q := t.queues[client]; q != nil {
		return q
	}
	q := &queue{client: client}
	q.order = t.next.PushBack(q)
	if t.queues == nil {
		t.queues = map[string]*queue{}
	}
	t.queues[client] = q
	return q
}

// remove takes a place out of a queue.
func (t *turns) remove(q *queue, place *list.Element) {
	t.waiting--
	q.places.Remove(place)
	if q.places.Len() == 0 {
		t.next.Remove(q.order)
		delete(t.queues, q.client)
	}
}

// giveBack lets the next one take the turn. Nil bounds nothing.
func (t *turns) giveBack() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	if t.free <= 0 || t.waiting == 0 {
		return
	}
	t.free--
	q := t.next.Front().Value.(*queue)
	t.next.MoveToBack(q.order)
	place := q.places.Front()
	close(place.Value.(chan struct{}))
	t.remove(q, place)
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

// clientOf is whom an address of a connection belongs to.
func clientOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

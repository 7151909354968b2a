package webhook

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// handshakePatience is how long a handshake waits for its turn: the second of the API
	// server's call that deadline does not give to the review.
	handshakePatience = time.Second
	// handshakeHold is how long a handshake keeps its turn at most: some milliseconds
	// are enough for what takes a processor, and the rest is up to the client.
	handshakeHold = 50 * time.Millisecond
	// handshakeEndpoint is the metric label of handshakes.
	handshakeEndpoint = "connect"
)

// handshakes bounds how many TLS handshakes are computed at once, for the reason that
// reviews are bounded (see turns): one takes a processor for longer than most reviews
// do, and an API server with many of them makes one for nearly each, since it keeps no
// more than 25 connections (k8s.io/client-go/transport, idleConnsPerHost).
type handshakes struct {
	room    *room
	metrics *metrics
	hold    time.Duration // handshakeHold
	onShed  func()
}

// admit is for tls.Config.GetConfigForClient: it comes before anything that takes a
// processor. It changes no configuration. An error ends the connection, which the API
// server takes for a failed call.
func (h *handshakes) admit(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	ctx := hello.Context()
	if err := h.room.handshakes.take(ctx, clientOf(hello.Conn.RemoteAddr().String()), time.Now().Add(handshakePatience)); err != nil {
		if ctx.Err() == nil { // else the client was not turned away, but is gone
			h.metrics.shed.WithLabelValues(handshakeEndpoint).Inc()
			h.room.told.Do(h.onShed)
		}
		return nil, err
	}
	giveBack := sync.OnceFunc(h.room.handshakes.giveBack)
	hold := time.AfterFunc(h.hold, giveBack)
	context.AfterFunc(ctx, func() { // the handshake is over
		hold.Stop()
		giveBack()
	})
	return nil, nil
}

// untilAnswered asks until there was an answer, and not again: each question to the TLS
// server is a handshake that waits for its turn with all others, and a replica with a
// lot to do must not be taken for one that cannot.
func untilAnswered(ask func() error) func() error {
	var answered atomic.Bool
	return func() error {
		if answered.Load() {
			return nil
		}
		err := ask()
		answered.Store(err == nil)
		return err
	}
}

package harness

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"
)

// Wire is a way to the API server that knows nothing of what goes over it, and can go
// dead: connections then stay open and carry nothing any more, as when what stands
// between forgets them.
type Wire struct {
	// URL is where it listens.
	URL string

	listener net.Listener
	target   string

	mu   sync.Mutex
	dead chan struct{} // closed when the connections of now carry nothing any more
	open []net.Conn
}

// NewWire starts a wire that carries everything.
func NewWire(config *rest.Config) (*Wire, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for connections to the API server: %w", err)
	}
	w := &Wire{URL: "https://" + listener.Addr().String(), listener: listener, target: target.Host, dead: make(chan struct{})}
	go w.accept()
	return w, nil
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.open = append(w.open, near, far)
		dead := w.dead
		w.mu.Unlock()
		go carry(near, far, dead)
		go carry(far, near, dead)
	}
}

// carry passes on what one end says, until it ends or the wire is dead: then nothing
// is said any more, the end of the connection neither.
func carry(to, from net.Conn, dead <-chan struct{}) {
	data := make([]byte, 32<<10)
	for {
		n, err := from.Read(data)
		select {
		case <-dead:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if n > 0 {
			if _, err := to.Write(data[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

// Cut has the connections of now carry nothing any more. Later ones do.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.dead)
	w.dead = make(chan struct{})
}

// Connections is how many have been made so far.
func (w *Wire) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) / 2
}

// Close ends all connections.
func (w *Wire) Close() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
}

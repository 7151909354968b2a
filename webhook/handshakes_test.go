package webhook

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// mute is a connection that says one thing, and then nothing more.
type mute struct {
	net.Conn
	said chan struct{} // closed then
}

func (m *mute) Write(data []byte) (int, error) {
	select {
	case <-m.said:
		return len(data), nil
	default:
	}
	defer close(m.said)
	return m.Conn.Write(data)
}

// TestF19Handshakes holds that handshakes take turns, that one which cannot begin in
// time is turned away and counted, and that a client which begins one and says no more
// keeps nobody from his.
func TestF19Handshakes(t *testing.T) {
	shaking := &handshakes{room: newRoom(), metrics: newMetrics(prometheus.NewRegistry()), hold: time.Hour, onShed: func() {}}
	turns := shaking.room.handshakes
	free := func(want int) {
		t.Helper()
		got := 0
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			turns.mu.Lock()
			got = turns.free
			turns.mu.Unlock()
			if got == want {
				return
			}
		}
		t.Fatalf("got %d turns left, want %d", got, want)
	}
	turns.free = 1
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{GetConfigForClient: shaking.admit}
	server.StartTLS()
	defer server.Close()
	address, trust := server.Listener.Addr().String(), server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.ServerName = "127.0.0.1"
	shake := func() error {
		connection, err := tls.Dial("tcp", address, trust)
		if err != nil {
			return err
		}
		return connection.Close()
	}
	for range 5 {
		if err := shake(); err != nil {
			t.Fatalf("got %v, want a connection", err)
		}
	}
	free(1) // at once, and not after an hour
	shaking.hold = handshakeHold
	for range 3 {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		silent := &mute{raw, make(chan struct{})}
		go func() { _ = tls.Client(silent, trust).Handshake() }()
		<-silent.said
	}
	if err := shake(); err != nil {
		t.Errorf("got %v beside clients that say nothing more, want a connection", err)
	}
	free(1)
	turns.retake() // by another one, for good
	var refusal net.Error
	if err := shake(); err == nil || errors.As(err, &refusal) && refusal.Timeout() {
		t.Errorf("got %v without a turn, want to be turned away", err)
	}
	if got := testutil.ToFloat64(shaking.metrics.shed.WithLabelValues(handshakeEndpoint)); got != 1 {
		t.Errorf("got %v counted, want 1", got)
	}
	free(0)
}

// TestUntilAnswered asks until there is an answer.
func TestUntilAnswered(t *testing.T) {
	asked := 0
	ask := untilAnswered(func() error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	for i, want := range []bool{false, false, true, true} {
		if err := ask(); (err == nil) != want {
			t.Errorf("question %d: got %v, want an answer: %t", i, err, want)
		}
	}
	if asked != 3 {
		t.Errorf("got %d questions, want 3", asked)
	}
}

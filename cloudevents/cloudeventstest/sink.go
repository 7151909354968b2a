// Package cloudeventstest has a sink for tests of those who tell it something. A sink
// that only counts what it is given would pass what no server can read.
package cloudeventstest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/cloudevents"
)

// NewSink is a sink, and what a server has got of it since it was read last, as JSON.
func NewSink(t testing.TB) (sink *cloudevents.Sink, read func() [][]byte) {
	t.Helper()
	var mutex sync.Mutex
	var bodies [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mutex.Lock()
		defer mutex.Unlock()
		bodies = append(bodies, body)
	}))
	t.Cleanup(server.Close)
	sink, err := cloudevents.New(cloudevents.Options{
		URL: server.URL, Source: "/test", Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sink, func() [][]byte {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		sink.Run(ended) // delivers what waits
		mutex.Lock()
		defer mutex.Unlock()
		was := bodies
		bodies = nil
		return was
	}
}

package webhook

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestF17Overload requires that what does not fit into memory waits until its
// deadline and is told so, instead of ending the process.
func TestF17Overload(t *testing.T) {
	w := newTestWebhook(t)
	if err := w.validate.room.bodies.Acquire(t.Context(), maxBodies); err != nil {
		t.Fatal(err)
	}
	ask := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/validate?timeout=1s", strings.NewReader(string(podReview(safeSpec, nil))))
		r.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		w.validate.ServeHTTP(recorder, r)
		return recorder
	}
	if got := ask(); got.Code != http.StatusTooManyRequests || !strings.Contains(got.Body.String(), "too many reviews at once") {
		t.Errorf("got %d %s, want 429 that says why", got.Code, got.Body)
	}
	w.validate.room.bodies.Release(maxBodies)
	if got := ask(); got.Code != http.StatusOK {
		t.Errorf("got %d afterwards, want 200", got.Code)
	}
}

// TestT60DrippingBody requires that a body that does not arrive gives its place
// back at the review's deadline, and that the next review on a connection has
// the whole of its own time.
func TestT60DrippingBody(t *testing.T) {
	server := httptest.NewServer(newTestWebhook(t).validate)
	defer server.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	const head = "POST /validate?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	began := time.Now()
	slow := dial()
	fmt.Fprintf(slow, head, 1000, "{")
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || response.StatusCode != http.StatusBadRequest || time.Since(began) > 3*time.Second {
		t.Errorf("got %v, %v after %s, want 400 within 3 s", response, err, time.Since(began))
	}
	steady := dial()
	reader := bufio.NewReader(steady)
	for i := range 2 {
		body := string(podReview(safeSpec, nil))
		fmt.Fprintf(steady, head, len(body), body)
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("review %d on one connection: got %v, %v, want 200", i, response, err)
		}
		_ = response.Body.Close()
		time.Sleep(400 * time.Millisecond) // past the deadline of the first
	}
}

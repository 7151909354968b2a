package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
)

func TestLocalAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8083": true, "127.8.8.8:1": true, "[::1]:8083": true, "localhost:8083": true, "[::ffff:127.0.0.1]:1": true,
		":8083": false, "0.0.0.0:8083": false, "[::]:8083": false, "10.0.0.1:8083": false, "localhost.example:8083": false, "portcullis:8083": false, "127.0.0.1": false,
	} {
		if got := LocalAddress(address); got != want {
			t.Errorf("%s: got local %t, want %t", address, got, want)
		}
	}
}

// TestPageKeepsOthersAway holds which requests reach the page on a loopback address.
func TestPageKeepsOthersAway(t *testing.T) {
	asked := 0
	page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ })
	handler, err := (&auditPage{address: "127.0.0.1:8083", page: page, log: slog.New(slog.DiscardHandler)}).handler()
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{
		"localhost:8083": http.StatusOK, "127.0.0.1:9999": http.StatusOK, "[::1]:8083": http.StatusOK, "localhost": http.StatusOK,
		"evil.example:8083": http.StatusMisdirectedRequest, "evil.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example:8083": http.StatusMisdirectedRequest,
	} {
		r := httptest.NewRequest(http.MethodGet, "/audit", nil)
		r.Host = host
		before, w := asked, httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != status || (asked > before) != (status == http.StatusOK) {
			t.Errorf("%s: got status %d and the page asked %d times, want %d", host, w.Code, asked-before, status)
		}
	}
}

// TestPageIsBounded requires that many who ask at once do not all get an answer.
func TestPageIsBounded(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	handler := bound(semaphore.NewWeighted(pageRequests), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	ask := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/audit", nil))
		return w.Code
	}
	codes := make(chan int, pageRequests)
	for range pageRequests {
		go func() { codes <- ask() }()
		<-entered
	}
	late := make(chan int)
	go func() { late <- ask() }()
	select {
	case got := <-late:
		if got != http.StatusServiceUnavailable {
			t.Errorf("got status %d for one too many, want 503", got)
		}
	case <-entered:
		t.Error("got one too many answered")
	case <-time.After(10 * time.Second):
		t.Fatal("one too many waits")
	}
	close(release)
	for range pageRequests {
		if got := <-codes; got != http.StatusOK {
			t.Errorf("got status %d, want 200", got)
		}
	}
}

package serving_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestF18Starved gives a server a tenth of the processors and many clients. Each review
// is answered or turned away before its API server would give up, the server stays
// ready for a kubelet that waits as long as the manifests say, and is as before
// afterwards.
func TestF18Starved(t *testing.T) {
	const (
		clients = 32
		lasting = 3 * time.Second
		wait    = 10 * time.Second // the longest that a registration may say is 30 s
		probe   = 5 * time.Second  // timeoutSeconds of the probes
	)
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, "{validate: {podSecurity: {level: restricted}}}", s)
	threads, err := s.Metric("go_sched_gomaxprocs_threads")
	if err != nil || threads < 1 || threads > float64(runtime.NumCPU()) {
		t.Errorf("got %v threads, %v, want from 1 to %d", threads, err, runtime.NumCPU())
	}
	body := suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: podWith(t, "registry.example/app:1")}.Marshal(t)
	feed := s.Starve(10 * time.Millisecond)
	t.Cleanup(feed)
	var answered, shed, connects atomic.Int64
	var crowd sync.WaitGroup
	end := time.Now().Add(lasting)
	for range clients {
		crowd.Go(func() {
			client, err := s.HTTPClient()
			if err != nil {
				t.Error(err)
				return
			}
			client.Timeout = wait
			defer client.CloseIdleConnections()
			for time.Now().Before(end) {
				response, err := client.Post(s.URL+"/validate?timeout="+wait.String(), "application/json", bytes.NewReader(body))
				if err != nil {
					if os.IsTimeout(err) { // else turned away before it could ask
						t.Errorf("got %v, want an answer within %s", err, wait)
						return
					}
					connects.Add(1)
					continue
				}
				text, err := io.ReadAll(response.Body)
				response.Body.Close()
				switch {
				case err == nil && response.StatusCode == http.StatusOK:
					answered.Add(1)
				case err == nil && response.StatusCode == http.StatusTooManyRequests:
					shed.Add(1)
				default:
					t.Errorf("got status %d, %v: %s, want 200 or 429", response.StatusCode, err, text)
				}
			}
		})
	}
	for time.Now().Before(end) {
		began := time.Now()
		if status, text := s.Ready(); status != http.StatusOK || time.Since(began) > probe {
			t.Errorf("/readyz: got status %d after %s: %s, want 200 within %s", status, time.Since(began), text, probe)
		}
		time.Sleep(200 * time.Millisecond)
	}
	crowd.Wait()
	feed()
	t.Logf("%d answered, %d turned away, %d without a connection", answered.Load(), shed.Load(), connects.Load())
	if answered.Load() == 0 {
		t.Error("got nothing answered")
	}
	// Each 429 is counted. What came without a connection may have other reasons too.
	counted := func(endpoint string) float64 {
		n, err := s.Metric(fmt.Sprintf("portcullis_admission_shed_total{endpoint=%q}", endpoint))
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if reviews, connections := counted("validate"), counted("connect"); reviews != float64(shed.Load()) || connections > float64(connects.Load()) {
		t.Errorf("got %v reviews and %v connections turned away by the metric, want %d and at most %d", reviews, connections, shed.Load(), connects.Load())
	}
}

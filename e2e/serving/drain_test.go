package serving_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestDrain holds what a rolling update needs: after SIGTERM the server is
// unready at once, goes on answering for --shutdown-delay and sends connections
// elsewhere, finishes what has begun, and ends without an error.
func TestDrain(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	c := cluster.Cluster(t)
	host := silence(t)
	s := serve(t, c, harness.ServeOptions{
		Registries: registriesWith(host, "3s"), Args: []string{"--shutdown-delay=" + delay.String()},
	})
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, "{mutate: {digests: {}}}", s)
	client, err := s.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	post := func(path string, request suite.Request) (*http.Response, error) {
		return client.Post(s.URL+path, "application/json", bytes.NewReader(request.Marshal(t)))
	}
	response, err := post("/validate", review(t))
	if err != nil {
		t.Fatal(err)
	}
	if suite.ReadReview(t, response); response.Close {
		t.Error("before SIGTERM: got Connection: close")
	}

	// One that waits for a registry until after the delay.
	slow := suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: podWith(t, host+"/silent:1")}
	finished := make(chan error, 1)
	go func() {
		response, err := post("/mutate?timeout=10s", slow)
		if err == nil {
			suite.ReadReview(t, response)
		}
		finished <- err
	}()
	time.Sleep(100 * time.Millisecond) // for the slow one to be under way
	terminated := time.Now()
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, time.Second, func() error {
		if status, text := s.Ready(); status == http.StatusOK || status == 0 {
			return fmt.Errorf("/readyz after SIGTERM: got status %d: %s", status, text)
		}
		return nil
	})
	answersUntil(t, terminated.Add(delay-200*time.Millisecond), func() (*http.Response, error) { return post("/validate", review(t)) })
	if err := <-finished; err != nil {
		t.Errorf("the review under way: %v", err)
	}
	if took := time.Since(terminated); took < delay {
		t.Errorf("the review under way took until %s after SIGTERM, which is not beyond the delay: the test proves nothing", took)
	}
	if err := s.Wait(10 * time.Second); err != nil {
		t.Errorf("ending: %v", err)
	}
}

// answersUntil requires answers that send the connection elsewhere.
func answersUntil(t *testing.T, end time.Time, post func() (*http.Response, error)) {
	t.Helper()
	for time.Now().Before(end) {
		response, err := post()
		if err != nil {
			t.Fatalf("%s before the end of the delay: %v", time.Until(end), err)
		}
		if suite.ReadReview(t, response); !response.Close {
			t.Errorf("%s before the end of the delay: got no Connection: close", time.Until(end))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

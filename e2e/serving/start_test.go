package serving_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestStopBeforeStart starts a server that may not read namespaces. It says so,
// and it stops at once, long shutdown delay or not: it has answered nothing.
func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	proxy, err := harness.NewProxy(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxy.Break("/api/v1/namespaces")
	s, err := c.StartServer(harness.ServeOptions{Proxy: proxy, Args: []string{"--shutdown-delay=10s"}})
	if err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error {
		status, text := s.Ready()
		if want := "[-] caches: not in sync"; status != http.StatusServiceUnavailable || !strings.Contains(text, want) {
			return fmt.Errorf("/readyz: got %d %q, want 503 that says %q", status, text, want)
		}
		return nil
	})
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(2 * time.Second); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// TestPoliciesOfFiles serves policies of a file in a cluster without our CRDs.
func TestPoliciesOfFiles(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	proxy, err := harness.NewProxy(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxy.Hide("portcullis.dev")
	file := filepath.Join(t.TempDir(), "policy.yaml")
	policy := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: file}\nspec: {validate: {digests: {}}}\n"
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, c, harness.ServeOptions{Proxy: proxy, Args: []string{"--policy=" + file}})
	request := suite.Request{Kind: suite.Pod, Namespace: "default", Operation: "CREATE", Object: podWith(t, "nginx:1.27")}
	if response := suite.Review(t, s, "/validate", request); response.Allowed || !strings.Contains(response.Result.Message, "- file: digests/required") {
		t.Errorf("got %+v, want a refusal by the policy of the file", response)
	}
}

// TestQuietStop holds that a stop is two lines in the log, at the level that is
// the default.
func TestQuietStop(t *testing.T) {
	t.Parallel()
	s := serve(t, cluster.Cluster(t), harness.ServeOptions{Args: []string{"--log-level=info"}})
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	_, stop, found := strings.Cut(s.Log(), "draining")
	if lines := strings.Count(stop, "\n"); !found || lines > 2 {
		t.Errorf("got %d lines for a stop, want one about draining and at most one more:\n%s", lines, s.Log())
	}
}

// TestJSONLog holds that every line of the log is JSON where that is asked for, those
// of net/http about connections that break off too.
func TestJSONLog(t *testing.T) {
	t.Parallel()
	s := serve(t, cluster.Cluster(t), harness.ServeOptions{Args: []string{"--log-format=json"}})
	response, err := http.Get("http://" + strings.TrimPrefix(s.URL, "https://")) // no TLS
	if err == nil {
		response.Body.Close()
	}
	suite.Eventually(t, suite.Soon, func() error {
		if !strings.Contains(s.Log(), "TLS handshake error") {
			return errors.New("the log has no broken handshake")
		}
		return nil
	})
	for line := range strings.Lines(s.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("got %q, want JSON: %v", line, err)
		}
	}
}

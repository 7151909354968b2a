//go:build kind

package kind

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestRollingRestart replaces every replica three times at 100 creations a second. None
// of them may fail, and none may come through without its digest.
func TestRollingRestart(t *testing.T) {
	const (
		enough   = 90 // what a pause near the end takes away is not made up for
		attempts = 3
	)
	c := up(t)
	c.install(t, standard)
	for range attempts {
		rate := c.restartUnderLoad(t)
		if rate >= enough || t.Failed() {
			return
		}
		t.Logf("got %.1f creations a second, want %d: this machine had other work, once more", rate, loadRate)
	}
	t.Errorf("got less than %d creations a second in %d attempts, want %d: this machine is too busy for the test to prove anything", enough, attempts, loadRate)
}

// restartUnderLoad replaces every replica three times and returns the rate of the load
// meanwhile.
func (c *cluster) restartUnderLoad(t *testing.T) float64 {
	t.Helper()
	l := c.startLoad(t)
	before := c.replicaNames(t)
	for range 3 {
		c.kubectl(t, "--namespace", harness.SystemNamespace, "rollout", "restart", "deployment/"+harness.Name)
		c.rollout(t)
	}
	c.waitForTermination(t) // they answer until they are gone
	l.stopUnharmed(t)
	if after := c.replicaNames(t); strings.Contains(after, strings.Fields(before)[0]) {
		t.Errorf("got replicas %s after three restarts, and %s before: nothing was replaced", after, before)
	}
	return l.rate
}

// replicaNames are the names of the replicas that are ready.
func (c *cluster) replicaNames(t *testing.T) string {
	t.Helper()
	replicas, err := c.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, replica := range replicas {
		names = append(names, replica.Name)
	}
	if len(names) == 0 {
		t.Fatal("got no ready replica")
	}
	return strings.Join(names, " ")
}

// waitForTermination waits until all replicas that were told to end have ended.
func (c *cluster) waitForTermination(t *testing.T) {
	t.Helper()
	suite.Eventually(t, time.Minute, func() error {
		output := c.kubectl(t, "--namespace", harness.SystemNamespace, "get", "pods", "--output",
			`jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name} {end}`)
		if output != "" {
			time.Sleep(200 * time.Millisecond)
			return fmt.Errorf("%sstill terminate", output)
		}
		return nil
	})
}

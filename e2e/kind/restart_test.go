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

// TestRollingRestart replaces every replica three times under load. None of the
// creations may fail, and none may come through without its digest.
func TestRollingRestart(t *testing.T) {
	c := up(t)
	c.install(t, standard)
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

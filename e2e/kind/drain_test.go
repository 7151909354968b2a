//go:build kind

package kind

import (
	"testing"
)

// TestDrain drains each worker in turn under load, as an upgrade of the nodes does.
func TestDrain(t *testing.T) {
	c := up(t)
	if len(c.nodes) < 3 {
		t.Skipf("draining nodes needs 3, and there are %d: make e2e %s=3", len(c.nodes), nodesVariable)
	}
	c.install(t, installation{manifests: highAvailability})
	l := c.startLoad(t)
	for _, node := range c.nodes[1:] {
		c.kubectl(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout", "180s")
		c.rollout(t) // three replicas are ready again, elsewhere
		c.kubectl(t, "uncordon", node)
	}
	c.waitForTermination(t)
	l.stopUnharmed(t)
}

//go:build kind

package kind

import (
	"strings"
	"testing"
)

// TestUpgrade goes from the previous image to the one under test, and back, under
// load.
func TestUpgrade(t *testing.T) {
	c := up(t)
	old, now := c.registry.digest(t, previousImage), c.registry.digest(t, ownImage)
	if old == now {
		t.Fatalf("the previous image is the one under test: %s", now)
	}
	c.install(t, installation{tag: "previous"})
	c.wantImage(t, old)
	l := c.startLoad(t)
	c.install(t, standard)
	c.wantImage(t, now)
	c.install(t, installation{tag: "previous"})
	c.wantImage(t, old)
	c.waitForTermination(t)
	l.stopUnharmed(t)
}

// wantImage requires that all replicas run an image with this digest.
func (c *cluster) wantImage(t *testing.T, digest string) {
	t.Helper()
	replicas, err := c.replicas(t.Context())
	if err != nil || len(replicas) == 0 {
		t.Fatalf("listing replicas: got %d (%v), want some", len(replicas), err)
	}
	for _, replica := range replicas {
		if got := replica.Status.ContainerStatuses[0].ImageID; !strings.HasSuffix(got, "@"+digest) {
			t.Errorf("%s runs %s, want %s", replica.Name, got, digest)
		}
	}
}

//go:build kind

package kind

import (
	"strings"
	"testing"
)

// TestUpgrade goes from the previous revision to the one under test, and back, under
// load: the program, and the CRDs, rights and registrations that it comes with.
func TestUpgrade(t *testing.T) {
	c := up(t)
	old, now := c.registry.digest(t, previousImage), c.registry.digest(t, ownImage)
	if old == now {
		t.Fatalf("the previous image is the one under test: %s", now)
	}
	changes, err := c.previous.changes(c.root)
	if err != nil {
		t.Fatal(err)
	}
	if c.previous.revision == "" {
		t.Log("no previous revision in this clone: the image under test is upgraded to itself")
	}
	t.Logf("from revision %q; what changes beside the Deployment: %s", c.previous.revision, strings.Join(changes, ", "))

	c.uninstall(t) // nothing of the one under test may be there before
	before := installation{root: c.previous.root, tag: "previous"}
	c.install(t, before)
	c.wantImage(t, old)
	l := c.startLoad(t)
	c.install(t, standard)
	c.wantImage(t, now)
	c.install(t, before)
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

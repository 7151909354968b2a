//go:build kind

package kind

import (
	"strings"
	"testing"
)

// TestDigests holds that a tag is pinned to what the registry has, and that a
// kubelet pulls and starts the pinned reference.
func TestDigests(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "pin", nil)
	digest := c.registry.digest(t, webImage)
	pod := newPod(namespace, "web", webImage)
	c.mustCreate(t, pod)
	if got, want := pod.Spec.Containers[0].Image, inTest(webImage)+"@"+digest; got != want {
		t.Errorf("image: got %q, want %q", got, want)
	}
	pod = c.waitForPod(t, namespace, "web", ready)
	if got := pod.Status.ContainerStatuses[0].ImageID; !strings.HasSuffix(got, "@"+digest) {
		t.Errorf("the kubelet has started %q, want the digest %s", got, digest)
	}
}

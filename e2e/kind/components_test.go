//go:build kind

package kind

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestComponents installs Portcullis with the components that need nobody else's
// CRDs. One of them is the native fallback: with the registration gone, the API server
// itself refuses what the preset baseline refuses.
func TestComponents(t *testing.T) {
	c := up(t)
	c.install(t, installation{components: []string{"network-policy", "dashboard", "native-fallback"}})
	namespace := c.namespace(t, "pin", nil)
	bad := func() error {
		return c.client.Create(t.Context(), privileged(newPod(namespace, "bad", webImage)), client.DryRunAll)
	}
	const native = "ValidatingAdmissionPolicy 'portcullis-baseline-podsecurity'"
	fallsBack := func() error {
		if err := bad(); err == nil || !strings.Contains(err.Error(), native) {
			return fmt.Errorf("got %v, want a refusal by %s", err, native)
		}
		return nil
	}
	suite.Eventually(t, 30*time.Second, fallsBack)
	c.mustCreate(t, newPod(namespace, "judged", webImage)) // by both
	c.kubectl(t, "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "portcullis")
	if err := fallsBack(); err != nil {
		t.Error(err)
	}
	c.mustCreate(t, newPod(namespace, "alone", webImage))
}

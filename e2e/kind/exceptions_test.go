//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestExceptionEnds holds that what an exception lets through is let through by every
// replica until the exception ends, and by none after it, without anybody's doing.
func TestExceptionEnds(t *testing.T) {
	const clocks = 2 * time.Second // those of the nodes and that of the test are the same, but for reviews under way
	c := standing(t)
	namespace := c.namespace(t, "excepted", nil)
	create := func() error { return c.client.Create(t.Context(), privileged(newPod(namespace, "tool", webImage))) }
	wantRefusal(t, create(), "excepted: podSecurity/privileged")

	end := time.Now().Add(20 * time.Second).UTC().Truncate(time.Second)
	file := filepath.Join(t.TempDir(), "exception.yaml")
	exception := fmt.Sprintf(exceptionFormat, namespace, harness.SystemNamespace, end.Format(time.RFC3339), namespace)
	if err := os.WriteFile(file, []byte(exception), 0o600); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "apply", "--filename", file)
	t.Cleanup(func() {
		if _, err := c.tryKubectl(context.Background(), "delete", "--filename", file, "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	suite.Eventually(t, 10*time.Second, create)

	passed := 0
	for time.Now().Before(end.Add(-clocks)) {
		pod := privileged(newPod(namespace, fmt.Sprintf("tool-%d", passed), webImage))
		err := c.client.Create(t.Context(), pod, client.DryRunAll)
		left := time.Until(end)
		if err != nil && left > 0 {
			t.Fatalf("%s before the end: %v", left.Round(time.Millisecond), err)
		}
		if err == nil {
			passed++
		}
		time.Sleep(100 * time.Millisecond)
	}
	if passed == 0 {
		t.Error("got no pod created under the exception, want some: this machine is too busy for the test to prove anything")
	}
	time.Sleep(time.Until(end.Add(clocks)))
	for range 20 { // both replicas
		err := c.client.Create(t.Context(), privileged(newPod(namespace, "late", webImage)), client.DryRunAll)
		wantRefusal(t, err, "excepted: podSecurity/privileged")
	}
}

const exceptionFormat = `apiVersion: portcullis.dev/v1alpha1
kind: PolicyException
metadata: {name: %s, namespace: %s}
spec:
  owner: team-tools
  reason: The tool looks at the node until the move to the sidecar.
  expiresAt: %q
  policies: [excepted]
  rules:
  - {rule: validate.podSecurity, checks: [privileged]}
  match: {namespaces: [%s]}
`

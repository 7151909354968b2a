package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// Exception is what of a PolicyException a test cares about.
type Exception struct {
	// In is the namespace that the exception is in. Default: harness.SystemNamespace.
	In string
	// Policy is the one that it is from: its validate.podSecurity.
	Policy string
	// Namespace is that of the workloads.
	Namespace string
	// Match are further fields of spec.match in YAML, such as names: [web].
	Match string
	// Expires is when it ends. Default: in an hour.
	Expires time.Time
}

// Object is the exception as the API server takes it.
func (e Exception) Object(t testing.TB) *unstructured.Unstructured {
	t.Helper()
	if e.In == "" {
		e.In = harness.SystemNamespace
	}
	if e.Expires.IsZero() {
		e.Expires = time.Now().Add(time.Hour)
	}
	if e.Match != "" {
		e.Match = ", " + e.Match
	}
	text := fmt.Sprintf(`
apiVersion: portcullis.dev/v1alpha1
kind: PolicyException
metadata: {name: for-%s, namespace: %s}
spec:
  owner: team-a
  reason: a test
  expiresAt: %q
  policies: [%s]
  rules: [{rule: validate.podSecurity}]
  match: {namespaces: [%s]%s}
`, e.Namespace, e.In, e.Expires.UTC().Format(time.RFC3339), e.Policy, e.Namespace, e.Match)
	exception := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &exception.Object); err != nil {
		t.Fatalf("reading the exception from %s: %v", e.Policy, err)
	}
	return exception
}

// CreateException creates an exception, which goes with the test.
func (c *Cluster) CreateException(t testing.TB, exception *unstructured.Unstructured) {
	t.Helper()
	if err := c.Client.Create(t.Context(), exception); err != nil {
		t.Fatalf("creating exception %s: %v", exception.GetName(), err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), exception); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting exception %s: %v", exception.GetName(), err)
		}
	})
}

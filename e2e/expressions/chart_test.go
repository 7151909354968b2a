package expressions_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// fromChart renders the chart, and returns what the API server enforces of it.
func fromChart(t *testing.T, namespace, values string) []*unstructured.Unstructured {
	t.Helper()
	helm, err := harness.FindHelm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := harness.Release{Namespace: namespace, Values: values}.Render(t.Context(), helm)
	if err != nil {
		t.Fatal(err)
	}
	rendered = slices.DeleteFunc(rendered, func(o *unstructured.Unstructured) bool {
		return !strings.HasPrefix(o.GetKind(), "ValidatingAdmissionPolicy")
	})
	if len(rendered) != 10 {
		t.Fatalf("got %d ValidatingAdmissionPolicies and bindings, want 10", len(rendered))
	}
	return rendered
}

// TestChart puts the tenant guard and the native fallback in force as the chart
// renders them for a namespace of its own, with names that CEL has to quote.
func TestChart(t *testing.T) {
	c := cluster.Cluster(t)
	system, exceptions, spared, tenant := c.Namespace(t, nil), c.Namespace(t, nil), c.Namespace(t, nil), c.Namespace(t, nil)
	rendered := fromChart(t, system, fmt.Sprintf(`
nativeFallback: true
webhook: {excludeNamespaces: [%s]}
exceptionNamespaces: [%s]
tenantGuard: {enabled: true, trustedGroups: ['CORP\admins'], trustedUsers: ["the admin's"]}
`, spared, exceptions))
	as := impersonating(t, c)
	generous(t, c, tenant, []string{`CORP\admins`, "developers"}, []string{"the admin's"})
	t.Cleanup(func() { // after the deletions: other tests have privileged pods everywhere
		suite.Eventually(t, suite.Soon, func() error { return c.Client.Create(context.Background(), privileged(tenant), client.DryRunAll) })
	})
	enforce(t, c, rendered)
	developer := as("dave", "developers")
	write := func(by client.Client, namespace string) error {
		return by.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "c"}}, client.DryRunAll)
	}
	except := func(namespace string) error {
		return developer.Create(t.Context(), suite.Exception{In: namespace, Policy: "p", Namespace: tenant}.Object(t), client.DryRunAll)
	}
	waitForRefusal(t, func() error { return write(developer, system) })
	waitForRefusal(t, func() error { return except(tenant) })
	waitForRefusal(t, func() error { return c.Client.Create(t.Context(), privileged(tenant), client.DryRunAll) })
	for what, err := range map[string]error{
		"a trusted group writes":              write(as("pat", `CORP\admins`), system),
		"a trusted user writes":               write(as("the admin's"), system),
		"a tenant writes elsewhere":           write(developer, harness.SystemNamespace),
		"a tenant excepts where it counts":    except(exceptions),
		"a privileged pod where it is spared": c.Client.Create(t.Context(), privileged(spared), client.DryRunAll),
		"a privileged pod beside Portcullis":  c.Client.Create(t.Context(), privileged(system), client.DryRunAll),
	} {
		if err != nil {
			t.Errorf("%s: got %v, want that it may", what, err)
		}
	}
}

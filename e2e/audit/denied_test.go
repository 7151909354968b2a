package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestDeniedRequests has requests refused by one replica and then by another one, and
// requires that the report of the namespace, in which nothing runs, tells how many they
// were in all, without the dry runs.
func TestDeniedRequests(t *testing.T) {
	c := cluster.Cluster(t)
	kind := kindOfReports("policyreports.yaml", "wgpolicyk8s.io", "v1alpha2", "policy")
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Error(err)
		}
	})
	want := 0
	for range 2 {
		s := serve(t, c, "--denied-interval=1s")
		register(t, c, s)
		refused(t, c, namespace) // by dry runs
		for range 2 {
			if err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "denied", badSpec())); !apierrors.IsForbidden(err) {
				t.Fatalf("got %v, want the pod refused", err)
			}
			want++
		}
		told := func() error {
			report, err := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace).Get(t.Context(), "portcullis", metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, r := range results(report) {
				result := r.(map[string]any)
				if result["rule"] == "deniedRequests" {
					message := fmt.Sprintf(`Pod "denied" refused %d times by podSecurity/allowPrivilegeEscalation, podSecurity/capabilities_restricted, podSecurity/hostNamespaces, `+
						`podSecurity/privileged of policy "restricted", asked by a user, the last time at `, want)
					if result["result"] != "pass" || !strings.HasPrefix(result["message"].(string), message) {
						return fmt.Errorf("got %s %v, want pass and %s", result["result"], result["message"], message)
					}
					return nil
				}
			}
			return fmt.Errorf("got %d results and none about the refused pod", len(results(report)))
		}
		suite.Eventually(t, suite.Soon, told)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

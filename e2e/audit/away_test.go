package audit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// register has the API server ask a server, and let through what none answers.
func register(t testing.TB, c *suite.Cluster, s *harness.Server) {
	t.Helper()
	if err := c.Register(t.Context(), s.Endpoint); err != nil {
		t.Fatal(err)
	}
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	if err := c.Client.Get(t.Context(), client.ObjectKey{Name: harness.Name}, &validating); err != nil {
		t.Fatal(err)
	}
	ignore := admissionregistrationv1.Ignore
	for i := range validating.Webhooks {
		validating.Webhooks[i].FailurePolicy = &ignore
	}
	if err := c.Client.Update(t.Context(), &validating); err != nil {
		t.Fatal(err)
	}
}

// refused waits until the API server asks the server, which refuses a bad pod.
func refused(t testing.TB, c *suite.Cluster, namespace string) {
	t.Helper()
	suite.Eventually(t, suite.Soon, func() error {
		err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "refused", badSpec()), client.DryRunAll)
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("got %v, want the pod refused", err)
		}
		return nil
	})
}

// TestAdmittedWhileDown has the webhook away and a bad pod come in, which the next
// scan marks, and nothing else: not what was there before the policy, not what is
// fine. The mark outlives another restart.
func TestAdmittedWhileDown(t *testing.T) {
	c := cluster.Cluster(t)
	kind := kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", "")
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	create := func(name string, spec corev1.PodSpec) {
		t.Helper()
		if err := c.Client.Create(t.Context(), suite.Pod.New(namespace, name, spec)); err != nil {
			t.Fatal(err)
		}
	}
	create("before", badSpec())

	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const beat = "--heartbeat=1s"
	s := serve(t, c, beat)
	register(t, c, s)
	refused(t, c, namespace)
	renewed := func() (at time.Time) {
		lease, err := c.Clientset.CoordinationV1().Leases(harness.SystemNamespace).Get(t.Context(), "portcullis-heartbeat", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if lease.Spec.RenewTime != nil {
			at = lease.Spec.RenewTime.Time
		}
		return at
	}
	began := time.Now()
	suite.Eventually(t, suite.Soon, func() error {
		if at := renewed(); !at.After(began) {
			return fmt.Errorf("got a heartbeat of %s, want one after %s", at, began)
		}
		return nil
	})
	create("good", suite.GoodSpec())
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// A pod of the second in which the last note was made counts as one before it.
	time.Sleep(1500 * time.Millisecond)
	create("while-down", badSpec())
	create("fine", suite.GoodSpec())
	time.Sleep(1500 * time.Millisecond)

	s = serve(t, c, beat)
	register(t, c, s)
	refused(t, c, namespace)
	marked := func() map[string]string {
		t.Helper()
		report, err := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace).Get(t.Context(), "portcullis", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, r := range results(report) {
			result := r.(map[string]any)
			resource := result["resources"].([]any)[0].(map[string]any)
			between, _ := result["properties"].(map[string]any)["admittedWhileDown"].(string)
			found[resource["name"].(string)] += between
		}
		return found
	}
	check := func(when string) {
		t.Helper()
		scans(t, s, 2)
		got := marked()
		if len(got) != 2 || got["before"] != "" || got["while-down"] == "" {
			t.Errorf("%s: got findings with marks %v, want those about pods before and while-down, and these alone marked", when, got)
		}
	}
	check("after the webhook is back")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	s = serve(t, c, beat)
	register(t, c, s)
	check("after another restart")

	// Another policy of the same name would not have been in force.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = serveBy(t, c, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: restricted}\nspec: {validate: {podSecurity: {level: baseline}}}\n", beat)
	scans(t, s, 2)
	if got := marked(); len(got) != 2 || got["while-down"] != "" {
		t.Errorf("by a policy that says something else: got %v, want findings and no mark", got)
	}
}

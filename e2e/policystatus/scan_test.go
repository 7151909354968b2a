package policystatus_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// scanOf is what the status of a policy says about the last scan.
func scanOf(t *testing.T, c *suite.Cluster, name string) (string, *unstructured.Unstructured) {
	t.Helper()
	_, p := statusOf(t, c, name)
	scan, found, err := unstructured.NestedMap(p.Object, "status", "scan")
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "none", p
	}
	return fmt.Sprintf("generation %d: %d workloads, %d findings: %d denied, %d warned, %d audited; %d exempt, %d unjudged", scan["generation"],
		scan["workloads"], scan["findings"], scan["denied"], scan["warned"], scan["audited"], scan["exempt"], scan["unjudged"]), p
}

// TestScanCounts holds that the status counts what the last scan found, by the rules
// that are in force, and is written when that changes and not by each scan.
func TestScanCounts(t *testing.T) {
	c := cluster.Cluster(t)
	s, err := c.Serve(t.Context(), harness.ServeOptions{Args: []string{"--audit-interval=1s"}})
	if err != nil {
		t.Fatal(err)
	}
	suite.StopAfter(t, s)
	namespace := c.Namespace(t, nil)
	bad := suite.GoodSpec()
	bad.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil // a finding of restricted and not of baseline
	bad.HostNetwork, bad.Containers[0].SecurityContext.RunAsNonRoot = true, ptr.To(false)
	for _, name := range []string{"one", "two"} {
		if err := c.Client.Create(t.Context(), suite.Pod.New(namespace, name, bad)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "good", suite.GoodSpec())); err != nil {
		t.Fatal(err)
	}
	create(t, c, "counted", fmt.Sprintf("{match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}", namespace))
	create(t, c, "idle", "{match: {namespaces: [none]}, validate: {podSecurity: {level: baseline}}}")
	await := func(name, want string) *unstructured.Unstructured {
		t.Helper()
		suite.Eventually(t, elected+10*time.Second, func() error {
			if got, _ := scanOf(t, c, name); got != want {
				return fmt.Errorf("policy %s: got %s, want %s", name, got, want)
			}
			return nil
		})
		_, p := scanOf(t, c, name)
		return p
	}
	was := await("counted", "generation 1: 3 workloads, 2 findings: 2 denied, 0 warned, 0 audited; 0 exempt, 0 unjudged")
	await("idle", "generation 1: 0 workloads, 0 findings: 0 denied, 0 warned, 0 audited; 0 exempt, 0 unjudged")

	done := strings.Count(s.Log(), `msg="scanned the cluster"`)
	suite.Eventually(t, elected, func() error {
		if now := strings.Count(s.Log(), `msg="scanned the cluster"`); now < done+2 {
			return fmt.Errorf("got %d scans, want two more than %d", now, done)
		}
		return nil
	})
	if _, is := scanOf(t, c, "counted"); is.GetResourceVersion() != was.GetResourceVersion() {
		t.Errorf("got resourceVersion %s after scans that found the same, want %s", is.GetResourceVersion(), was.GetResourceVersion())
	}
	if got := kubectl(t, c, "get", "pp", "counted"); !strings.Contains(strings.Join(strings.Fields(got), " "), "counted Enforce baseline 1 3 2 True ") {
		t.Errorf("got\n%s\nwant counted, Enforce, baseline, 1 rule, 3 workloads, 2 findings, True", got)
	}

	set(t, c, "counted", "Warn", "spec", "mode")
	await("counted", "generation 2: 3 workloads, 2 findings: 0 denied, 2 warned, 0 audited; 0 exempt, 0 unjudged")
	if err := c.Client.DeleteAllOf(t.Context(), suite.Pod.New("", "", bad), client.InNamespace(namespace), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	await("counted", "generation 2: 0 workloads, 0 findings: 0 denied, 0 warned, 0 audited; 0 exempt, 0 unjudged")

	// One that scans nothing leaves what there is.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	serve(t, c)
	set(t, c, "idle", "Warn", "spec", "mode")
	suite.Eventually(t, elected, func() error {
		if got, _ := statusOf(t, c, "idle"); got.generation != 2 {
			return fmt.Errorf("got generation %d, want 2", got.generation)
		}
		return nil
	})
	await("idle", "generation 1: 0 workloads, 0 findings: 0 denied, 0 warned, 0 audited; 0 exempt, 0 unjudged")
}

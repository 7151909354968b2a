package policystatus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// elected is how long it may take until some replica leads.
const elected = 30 * time.Second

// status is the part of a PodPolicy's status that tests look at.
type status struct {
	generation, rules               int64
	ready, reason, message, changed string
}

func statusOf(t *testing.T, c *suite.Cluster, name string) (status, *unstructured.Unstructured) {
	t.Helper()
	p := suite.NewPolicy(t, name, "{}")
	if err := c.Client.Get(t.Context(), client.ObjectKey{Name: name}, p); err != nil {
		t.Fatal(err)
	}
	var s status
	s.generation, _, _ = unstructured.NestedInt64(p.Object, "status", "observedGeneration")
	s.rules, _, _ = unstructured.NestedInt64(p.Object, "status", "rules")
	conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, condition := range conditions {
		field := func(name string) string { text, _ := condition.(map[string]any)[name].(string); return text }
		if field("type") == "Ready" {
			s.ready, s.reason, s.message, s.changed = field("status"), field("reason"), field("message"), field("lastTransitionTime")
		}
	}
	return s, p
}

// await waits until the status of a policy is about a generation, and returns it.
func await(t *testing.T, c *suite.Cluster, name string, generation int64) (status, *unstructured.Unstructured) {
	t.Helper()
	suite.Eventually(t, elected, func() error {
		if got, _ := statusOf(t, c, name); got.generation != generation {
			return fmt.Errorf("got status %+v, want one of generation %d", got, generation)
		}
		return nil
	})
	return statusOf(t, c, name)
}

// create creates a policy for one namespace, which goes with the test.
func create(t *testing.T, c *suite.Cluster, name, spec string) *unstructured.Unstructured {
	t.Helper()
	p := suite.NewPolicy(t, name, spec)
	if err := c.Client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return p
}

func set(t *testing.T, c *suite.Cluster, name string, value any, fields ...string) {
	t.Helper()
	_, p := statusOf(t, c, name)
	if err := unstructured.SetNestedField(p.Object, value, fields...); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// TestStatus goes through the life of a policy: in force, then invalid, while its
// last valid version stays in force, then in force again.
func TestStatus(t *testing.T) {
	c := cluster.Cluster(t)
	replica := serve(t, c)
	serve(t, c)
	namespace := c.Namespace(t, nil)
	create(t, c, "life", fmt.Sprintf("{match: {namespaces: [%s]}, mutate: {digests: {mode: Audit}}, validate: {podSecurity: {level: baseline}}}", namespace))

	got, _ := await(t, c, "life", 1)
	if got.ready != "True" || got.reason != "InForce" || got.rules != 2 || got.message != "the policy is in force" {
		t.Errorf("got status %+v, want it in force with 2 rules", got)
	}

	// The schema cannot say that a pattern has no tag.
	set(t, c, "life", map[string]any{"allow": []any{"nginx:1"}}, "spec", "validate", "registries")
	got, _ = await(t, c, "life", 2)
	if got.ready != "False" || got.reason != "LastValidVersionInForce" || got.rules != 2 ||
		!strings.Contains(got.message, "its last valid version, generation 1, stays in force:\nspec.validate.registries.allow[0]: ") {
		t.Errorf("got status %+v, want the version before it in force, and why", got)
	}
	bad := suite.GoodSpec()
	bad.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	bad.Containers[0].SecurityContext.Privileged = ptr.To(true)
	object, err := json.Marshal(suite.Pod.New(namespace, "bad", bad))
	if err != nil {
		t.Fatal(err)
	}
	if suite.Review(t, replica, "/validate", suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object}).Allowed {
		t.Error("got a privileged pod allowed, want the last valid version to refuse it")
	}

	create(t, c, "never", "{validate: {registries: {allow: ['nginx:1']}}}")
	if got, _ = await(t, c, "never", 1); got.ready != "False" || got.reason != "Invalid" || got.rules != 0 || !strings.Contains(got.message, "nothing of it is in force") {
		t.Errorf("got status %+v, want nothing in force", got)
	}

	set(t, c, "life", map[string]any{"allow": []any{"docker.io/**"}}, "spec", "validate", "registries")
	if got, _ = await(t, c, "life", 3); got.ready != "True" || got.rules != 3 {
		t.Errorf("got status %+v, want it in force with 3 rules", got)
	}
}

// TestWrittenOnlyWhenChanged holds that nothing is written where there is nothing
// new to tell, and that a status that somebody else wrote is put right.
func TestWrittenOnlyWhenChanged(t *testing.T) {
	c := cluster.Cluster(t)
	serve(t, c)
	serve(t, c)
	create(t, c, "quiet", "{match: {namespaces: [none]}, validate: {podSecurity: {level: baseline}}}")
	before, p := await(t, c, "quiet", 1)
	set(t, c, "quiet", map[string]any{"a": "b"}, "metadata", "labels")
	_, labelled := statusOf(t, c, "quiet")
	create(t, c, "other", "{match: {namespaces: [none]}, validate: {podSecurity: {level: baseline}}}")
	await(t, c, "other", 1) // all policies have been looked at again
	time.Sleep(time.Second)
	after, last := statusOf(t, c, "quiet")
	if after != before || last.GetResourceVersion() != labelled.GetResourceVersion() {
		t.Errorf("got %+v at version %s, want %+v at version %s", after, last.GetResourceVersion(), before, labelled.GetResourceVersion())
	}

	if err := unstructured.SetNestedField(last.Object, int64(7), "status", "rules"); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Status().Update(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error {
		if got, _ := statusOf(t, c, "quiet"); got != before {
			return fmt.Errorf("got status %+v, want %+v", got, before)
		}
		return nil
	})
	if p.GetGeneration() != last.GetGeneration() {
		t.Errorf("got generation %d after writes of the status, want %d", last.GetGeneration(), p.GetGeneration())
	}
}

// TestAnotherLeads holds that the status is written when the replica that wrote it
// has gone.
func TestAnotherLeads(t *testing.T) {
	c := cluster.Cluster(t)
	first, err := c.Serve(t.Context(), harness.ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create(t, c, "first", "{match: {namespaces: [none]}, validate: {podSecurity: {level: baseline}}}")
	await(t, c, "first", 1)
	serve(t, c)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	create(t, c, "second", "{match: {namespaces: [none]}, validate: {podSecurity: {level: baseline}}}")
	await(t, c, "second", 1)
}

// TestKubectl holds that policies read well in a terminal.
func TestKubectl(t *testing.T) {
	c := cluster.Cluster(t)
	serve(t, c)
	create(t, c, "shown", "{mode: Warn, match: {namespaces: [none]}, mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}")
	await(t, c, "shown", 1)
	for _, args := range [][]string{{"get", "pp", "shown"}, {"get", "portcullis", "--all-namespaces"}} {
		got := kubectl(t, c, args...)
		lines := strings.Split(got, "\n")
		if fields := strings.Fields(lines[0]); strings.Join(fields[len(fields)-8:], " ") != "NAME MODE LEVEL RULES WORKLOADS FINDINGS READY AGE" {
			t.Errorf("%v: got columns %q, want NAME, MODE, LEVEL, RULES, WORKLOADS, FINDINGS, READY and AGE", args, lines[0])
		}
		if !strings.Contains(strings.Join(strings.Fields(got), " "), "shown Warn baseline 2 True ") {
			t.Errorf("%v: got\n%s\nwant shown, Warn, baseline, 2, True", args, got)
		}
	}
	if got := kubectl(t, c, "explain", "podpolicy.status.conditions"); !strings.Contains(got, "Ready is True for a policy that is in force as it is written") {
		t.Errorf("got\n%s\nwant it to say what Ready is", got)
	}
}

// kubectl runs the kubectl that belongs to the API server.
func kubectl(t *testing.T, c *suite.Cluster, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), harness.Program("kubectl"), append([]string{"--kubeconfig=" + c.Kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

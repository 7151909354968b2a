package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// Policy creates a PodPolicy with the given spec for one namespace, and returns
// its name once it is in force on the servers, by default on the registered one.
// It goes with the test.
func (c *Cluster) Policy(t testing.TB, namespace, spec string, servers ...*harness.Server) string {
	t.Helper()
	name := "for-" + namespace
	policy := NewPolicy(t, name, spec)
	if err := unstructured.SetNestedStringSlice(policy.Object, []string{namespace}, "spec", "match", "namespaces"); err != nil {
		t.Fatal(err)
	}
	if len(servers) == 0 {
		servers = []*harness.Server{c.Server}
	}
	c.CreatePolicy(t, policy, servers...)
	return name
}

// NewPolicy is a PodPolicy with a spec in YAML.
func NewPolicy(t testing.TB, name, spec string) *unstructured.Unstructured {
	t.Helper()
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		t.Fatalf("reading the policy %s: %v", name, err)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "portcullis.dev/v1alpha1",
		"kind":       "PodPolicy",
		"metadata":   map[string]any{"name": name},
		"spec":       fields,
	}}
}

// CreatePolicy creates a policy, which goes with the test, and waits until it is in
// force on the servers.
func (c *Cluster) CreatePolicy(t testing.TB, policy *unstructured.Unstructured, servers ...*harness.Server) {
	t.Helper()
	if err := c.Client.Create(t.Context(), policy); err != nil {
		t.Fatalf("creating policy %s: %v", policy.GetName(), err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), policy); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting policy %s: %v", policy.GetName(), err)
		}
	})
	c.WaitForPolicies(t, servers...)
}

// WaitForPolicies waits until the servers have in force every policy that was
// written before. Changes arrive in the order in which they were made: one more
// policy is written, for a namespace of its own, until it refuses a pod there.
func (c *Cluster) WaitForPolicies(t testing.TB, servers ...*harness.Server) {
	t.Helper()
	fence := c.Namespace(t, nil)
	policy := NewPolicy(t, fence, fmt.Sprintf("{match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}", fence))
	if err := c.Client.Create(t.Context(), policy); err != nil {
		t.Fatalf("creating policy %s: %v", fence, err)
	}
	defer func() {
		if err := c.Client.Delete(context.Background(), policy); err != nil {
			t.Errorf("deleting policy %s: %v", fence, err)
		}
	}()
	bad := GoodSpec()
	bad.Containers[0].SecurityContext.Privileged = ptr.To(true)
	bad.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	object, err := json.Marshal(Pod.New(fence, "fence", bad))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		request := Request{Kind: Pod, Namespace: fence, Operation: "CREATE", Object: object}
		Eventually(t, Soon, func() error {
			response := Review(t, s, "/validate", request)
			if response.Allowed || !strings.Contains(response.Result.Message, fence) {
				return fmt.Errorf("policy %s is not in force", fence)
			}
			return nil
		})
	}
}

// Soon is enough for whatever travels by a watch, on a busy machine.
const Soon = 10 * time.Second

// Eventually calls check until it has no error.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

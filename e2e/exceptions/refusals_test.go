package exceptions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestSameWords holds that kubectl apply and the binary refuse an exception with
// the same words, all problems at once, each with its path.
func TestSameWords(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baseline)
	exception := suite.Exception{Policy: policy, Namespace: namespace, Expires: time.Now().Add(2000 * time.Hour)}.Object(t)
	set := func(value any, fields ...string) {
		t.Helper()
		if err := unstructured.SetNestedField(exception.Object, value, fields...); err != nil {
			t.Fatal(err)
		}
	}
	set([]any{policy, "nowhere"}, "spec", "policies")
	set([]any{
		map[string]any{"rule": "validate.podSecurity", "checks": []any{"hostPort", "runAsNonRoot"}}, map[string]any{"rule": "validate.rootUser"},
	}, "spec", "rules")
	set([]any{"*-bad"}, "spec", "match", "images")
	want := []string{
		`spec.policies[1]: "nowhere" is not a policy in force; `,
		`spec.rules[0].checks[0]: "hostPort" is not a check of validate.podSecurity; did you mean hostPorts?`,
		`spec.rules[0].checks[1]: "runAsNonRoot" is not evaluated: it belongs to level restricted, and the level here is baseline`,
		`spec.rules[1].rule: "validate.rootUser" is a rule of none of the policies named`,
		`spec.match.images[0]: "*-bad" does not say which registry`,
		`is later than policy "` + policy + `" allows, 720h after `,
	}
	refused := c.Client.Create(t.Context(), exception)
	if refused == nil {
		t.Fatal("got it created, want a refusal")
	}
	dir := t.TempDir()
	stored := suite.NewPolicy(t, policy, baseline)
	for name, object := range map[string]*unstructured.Unstructured{"exception": exception, "policy": stored} {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.CommandContext(t.Context(), c.Binary, "serve", "--policy="+dir).CombinedOutput()
	if err == nil {
		t.Fatal("got no error of portcullis serve, want one")
	}
	for _, words := range want {
		if !strings.Contains(refused.Error(), words) {
			t.Errorf("API server: got %v, want it to say %s", refused, words)
		}
		if !strings.Contains(string(output), words) {
			t.Errorf("portcullis: got %s, want it to say %s", output, words)
		}
	}
}

// TestTogether holds that a policy and an exception from it can be applied at once,
// whatever the replicas' caches have seen.
func TestTogether(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	for range 20 {
		policy := suite.NewPolicy(t, "for-"+namespace, baseline)
		if err := unstructured.SetNestedStringSlice(policy.Object, []string{namespace}, "spec", "match", "namespaces"); err != nil {
			t.Fatal(err)
		}
		exception := suite.Exception{Policy: policy.GetName(), Namespace: namespace}.Object(t)
		for _, object := range []*unstructured.Unstructured{policy, exception} {
			if err := c.Client.Create(t.Context(), object); err != nil {
				t.Errorf("creating %s: %v", object.GetKind(), err)
			}
		}
		for _, object := range []*unstructured.Unstructured{exception, policy} {
			if err := client.IgnoreNotFound(c.Client.Delete(t.Context(), object)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestElsewhere holds that an exception in a namespace where it would not count is
// refused, by its author's own namespace too (CVE-2024-48921).
func TestElsewhere(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baseline)
	err := c.Client.Create(t.Context(), suite.Exception{In: namespace, Policy: policy, Namespace: namespace}.Object(t))
	if err == nil || !strings.Contains(err.Error(), "metadata.namespace: exceptions in \""+namespace+"\" do not count; create it in portcullis-system") {
		t.Errorf("got %v, want a refusal that says where", err)
	}
}

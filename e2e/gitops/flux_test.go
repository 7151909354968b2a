package gitops_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestFlux holds that kustomize-controller, which applies server-side and looks
// for drift by a dry run of that, finds none.
// Source: github.com/fluxcd/pkg/ssa, manager_apply.go and manager_diff.go.
func TestFlux(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.pinned("1.4")
	wantDrift := func(when string, drifts bool) {
		t.Helper()
		if diff := a.drift(t); (diff != "") != drifts {
			t.Errorf("drift %s: want %t, got (-live +dry run):\n%s", when, drifts, diff)
		}
	}
	a.reconcile(t)
	a.wantReplicaSets(t, 1)
	wantDrift("after the first apply", false)
	a.move(t)
	wantDrift("with the tag moved", false)
	a.reconcile(t)
	a.want(t, "another apply", first, 1)

	a.run(t, command(t, "kubectl rollout restart"))
	a.wantReplicaSets(t, 2)
	wantDrift("after a restart", false)
	a.run(t, "kubectl scale deployment/web --replicas=3")
	a.wantReplicaSets(t, 2)
	wantDrift("with something else changed in the cluster", true)
	a.reconcile(t)
	a.wantReplicaSets(t, 2)
	wantDrift("after putting that right", false)
	a.commit(t, strings.Replace(example(t, "kind: Deployment"), "web:1.4", "web:1.5", 1))
	wantDrift("with another tag in Git", true)
}

// reconcile applies the file and returns the result.
func (a *app) reconcile(t *testing.T, options ...client.ApplyOption) *unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &object.Object); err != nil {
		t.Fatal(err)
	}
	object.SetNamespace(a.namespace)
	options = append(options, client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	if err := a.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), options...); err != nil {
		t.Fatalf("applying as kustomize-controller does: %v", err)
	}
	return object
}

// drift is the difference between what is stored and what applying would store.
func (a *app) drift(t *testing.T) string {
	t.Helper()
	live := &unstructured.Unstructured{}
	live.SetAPIVersion("apps/v1")
	live.SetKind("Deployment")
	if err := a.Client.Get(t.Context(), client.ObjectKey{Namespace: a.namespace, Name: "web"}, live); err != nil {
		t.Fatal(err)
	}
	predicted := a.reconcile(t, client.DryRunAll)
	for _, object := range []*unstructured.Unstructured{live, predicted} {
		object.SetManagedFields(nil) // has times
		// The controllers write in between.
		unstructured.RemoveNestedField(object.Object, "status")
		object.SetResourceVersion("")
	}
	return cmp.Diff(live.Object, predicted.Object)
}

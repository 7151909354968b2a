package serving_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// away points the webhook configurations to where nobody listens, as they are
// while no replica of Portcullis runs.
func away(t *testing.T, c *suite.Cluster) {
	t.Helper()
	port, err := c.Ports.Next()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	if err := c.Register(t.Context(), harness.Endpoint{URL: "https://127.0.0.1:" + port, CA: c.Authority.PEM}); err != nil {
		t.Fatal(err)
	}
	// The API server learns of them by a watch.
	probe := c.Namespace(t, nil)
	suite.Eventually(t, suite.Soon, func() error {
		err := c.Client.Create(t.Context(), suite.Pod.New(probe, "probe", suite.GoodSpec()), client.DryRunAll)
		if !refusedUnasked(err) {
			return fmt.Errorf("got %v, want a refusal because nobody answers", err)
		}
		return nil
	})
}

// refusedUnasked reports whether the API server refused because the validating
// webhook did not answer: so it would have been asked.
func refusedUnasked(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), `failed calling webhook "`) && !strings.Contains(err.Error(), "match condition")
}

// change is a strategic merge patch of an object.
type change struct {
	what  string
	patch string
	asked bool // the webhook is
}

// TestF01Away holds what can be done to the nine kinds while no replica answers:
// everything that leaves what runs as it was, and nothing else. T06, T27.
func TestF01Away(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	objects := map[string]client.Object{}
	for _, kind := range suite.Kinds() {
		objects[kind.Name] = kind.New(namespace, "running", withResources(suite.GoodSpec()))
		if err := c.Client.Create(t.Context(), objects[kind.Name]); err != nil {
			t.Fatal(err)
		}
	}
	away(t, c)
	for _, kind := range suite.Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			for _, change := range changesOf(kind) {
				object := objects[kind.Name].DeepCopyObject().(client.Object)
				err := c.Client.Patch(t.Context(), object, client.RawPatch(types.StrategicMergePatchType, []byte(change.patch)))
				if change.asked && !refusedUnasked(err) {
					t.Errorf("%s: got %v, want a refusal because nobody answers", change.what, err)
				}
				if !change.asked && err != nil {
					t.Errorf("%s: got %v, want it stored", change.what, err)
				}
			}
			if err := c.Client.Create(t.Context(), kind.New(namespace, "new", suite.GoodSpec())); !refusedUnasked(err) {
				t.Errorf("creating: got %v, want a refusal because nobody answers", err)
			}
			if err := c.Client.Delete(t.Context(), objects[kind.Name]); err != nil {
				t.Errorf("deleting: %v", err)
			}
		})
	}
}

func withResources(spec corev1.PodSpec) corev1.PodSpec {
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}
	return spec
}

// changesOf are changes of the object of TestF01Away.
func changesOf(kind suite.Kind) []change {
	changes := []change{
		{"labelling", `{"metadata": {"labels": {"team": "shop"}}}`, false},
		{"annotating", `{"metadata": {"annotations": {"note": "seen"}}}`, false},
		{"holding", `{"metadata": {"finalizers": ["e2e.portcullis.dev/hold"]}}`, false},
		{"letting go", `{"metadata": {"finalizers": []}}`, false},
		{"asking for new digests", `{"metadata": {"annotations": {"portcullis.dev/refresh": "now"}}}`, true},
	}
	switch kind {
	case suite.Pod:
		image := `{"spec": {"containers": [{"name": "main", "image": "registry.example/other:1"}]}}`
		return append(changes, change{"another image", image, true}, change{"a deadline", `{"spec": {"activeDeadlineSeconds": 5}}`, true})
	case suite.Job: // its template cannot be changed
		return append(changes, change{"suspending", `{"spec": {"suspend": true}}`, false}, change{"scaling", `{"spec": {"parallelism": 3}}`, false})
	case suite.CronJob:
		changes = append(changes, change{"suspending", `{"spec": {"suspend": true}}`, false})
	case suite.Deployment, suite.ReplicaSet, suite.StatefulSet, suite.ReplicationController:
		changes = append(changes, change{"scaling", `{"spec": {"replicas": 3}}`, false})
	}
	if kind == suite.Deployment {
		changes = append(changes, change{"pausing", `{"spec": {"paused": true}}`, false})
	}
	inTemplate := func(what, template string) {
		path := strings.Split(strings.TrimSuffix(kind.Path, ".spec"), ".")
		for i := len(path) - 1; i >= 0; i-- {
			template = fmt.Sprintf(`{%q: %s}`, path[i], template)
		}
		changes = append(changes, change{what, template, true})
	}
	inTemplate("restarting", `{"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}`)
	inTemplate("a label of the template", `{"metadata": {"labels": {"team": "shop"}}}`)
	inTemplate("another image", `{"spec": {"containers": [{"name": "main", "image": "registry.example/other:1"}]}}`)
	inTemplate("host network", `{"spec": {"hostNetwork": true}}`)
	inTemplate("another init container", `{"spec": {"initContainers": [{"name": "in", "image": "registry.example/other:1"}]}}`)
	inTemplate("another runtime class", `{"spec": {"runtimeClassName": "other"}}`)
	return changes
}

// TestF01AwayOrder holds that two templates that differ in the order of a list, or
// in how a quantity is written, are not taken for the same: who calls them the
// same has to be sure.
func TestF01AwayOrder(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	object := suite.Deployment.New(namespace, "running", withResources(suite.GoodSpec()))
	if err := c.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	away(t, c)
	for what, mutate := range map[string]func(*corev1.PodSpec){
		"another order": func(s *corev1.PodSpec) { e := s.Containers[0].Env; e[0], e[1] = e[1], e[0] },
		"half the CPU":  func(s *corev1.PodSpec) { s.Containers[0].Resources.Requests["cpu"] = resource.MustParse("500m") },
	} {
		changed := object.DeepCopyObject().(*appsv1.Deployment)
		mutate(&changed.Spec.Template.Spec)
		if err := c.Client.Update(t.Context(), changed, client.DryRunAll); !refusedUnasked(err) {
			t.Errorf("%s: got %v, want a refusal because nobody answers", what, err)
		}
	}
}

// TestF01AwayLarge compares two templates of a megabyte: what that costs is not
// refused by the API server.
func TestF01AwayLarge(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	spec := suite.GoodSpec()
	for i := range 10_000 {
		spec.Containers[0].Env = append(spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("NAME_%d", i), Value: strings.Repeat("x", 60)})
	}
	object := suite.Deployment.New(namespace, "large", spec)
	if err := c.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	away(t, c)
	if err := c.Client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(`{"spec": {"replicas": 3}}`))); err != nil {
		t.Errorf("scaling: %v", err)
	}
	suite.SpecOf(object).Containers[0].Env[9_999].Value = "y"
	if err := c.Client.Update(t.Context(), object); !refusedUnasked(err) {
		t.Errorf("changing the last variable: got %v, want a refusal because nobody answers", err)
	}
}

// TestF01AwaySubresources holds which ways into a Pod reach the webhook.
func TestF01AwaySubresources(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	pod := suite.Pod.New(namespace, "running", withResources(suite.GoodSpec())).(*corev1.Pod)
	deployment := suite.Deployment.New(namespace, "running", suite.GoodSpec())
	for _, object := range []client.Object{pod, deployment} {
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	away(t, c)
	patch := func(subresource string, value any) error {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Clientset.CoreV1().Pods(namespace).Patch(t.Context(), "running", types.StrategicMergePatchType, data, metav1.PatchOptions{}, subresource)
		return err
	}
	debug := corev1.Pod{Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "registry.example/debug:1"}},
	}}}
	if err := patch("ephemeralcontainers", debug); !refusedUnasked(err) {
		t.Errorf("an ephemeral container: got %v, want a refusal because nobody answers", err)
	}
	resize := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "resources": map[string]any{"requests": map[string]any{"cpu": "2"}}}}}}
	if err := patch("resize", resize); !refusedUnasked(err) {
		t.Errorf("a resize: got %v, want a refusal because nobody answers", err)
	}
	if err := patch("status", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}); err != nil {
		t.Errorf("a status: %v", err)
	}
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "running"}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
	if err := c.Clientset.CoreV1().Pods(namespace).Bind(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Errorf("a binding: %v", err)
	}
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "running"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
	if _, err := c.Clientset.AppsV1().Deployments(namespace).UpdateScale(t.Context(), "running", scale, metav1.UpdateOptions{}); err != nil {
		t.Errorf("kubectl scale: %v", err)
	}
}

// TestF01AwayCluster holds what does not depend on the webhook at all: the system's
// own pods and ours, nodes and their leases, namespaces without Pod Security
// labels, and the way out of a policy.
func TestF01AwayCluster(t *testing.T) {
	c := cluster.Cluster(t)
	labelled := c.Namespace(t, map[string]string{"pod-security.kubernetes.io/warn": "baseline"})
	policy := suite.NewPolicy(t, "away", "{validate: {podSecurity: {level: baseline}}}")
	accounts := []client.Object{}
	for _, namespace := range []string{"kube-system", harness.SystemNamespace} {
		accounts = append(accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}})
	}
	for _, object := range append(accounts, policy) {
		if err := c.Client.Create(t.Context(), object); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	away(t, c)
	ours := suite.Pod.New(harness.SystemNamespace, "ours", suite.GoodSpec())
	ours.SetLabels(map[string]string{"app.kubernetes.io/name": "portcullis"})
	for what, object := range map[string]client.Object{
		"a pod of the system":       suite.Pod.New("kube-system", "dns", suite.GoodSpec()),
		"a DaemonSet of the system": suite.DaemonSet.New("kube-system", "proxy", suite.GoodSpec()),
		"a pod of ours":             ours,
		"a node":                    &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}},
		"a lease":                   &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: "fresh"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: ptr.To[int32](40)}},
		"a namespace":               &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh", Labels: map[string]string{"team": "shop"}}},
		"a ConfigMap":               &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: labelled, Name: "fresh"}},
	} {
		if err := c.Client.Create(t.Context(), object, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fresh := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}}
	if err := c.Client.Create(t.Context(), fresh, client.DryRunAll); !refusedUnasked(err) {
		t.Errorf("a namespace with a Pod Security label: got %v, want a refusal because nobody answers", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: labelled}}
	for merge, asked := range map[string]bool{
		`{"metadata": {"annotations": {"note": "seen"}}}`:                                false,
		`{"metadata": {"labels": {"pod-security.kubernetes.io/warn": null}}}`:            false,
		`{"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}`:    true,
		`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}`: true,
	} {
		err := c.Client.Patch(t.Context(), namespace.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(merge)), client.DryRunAll)
		if asked && !refusedUnasked(err) || !asked && err != nil {
			t.Errorf("patching a namespace with %s: got %v, want asked: %t", merge, err, asked)
		}
	}
	if err := c.Client.Create(t.Context(), suite.NewPolicy(t, "fresh", "{validate: {podSecurity: {level: baseline}}}"), client.DryRunAll); !refusedUnasked(err) {
		t.Errorf("a policy: got %v, want a refusal because nobody answers", err)
	}
	if err := c.Client.Delete(t.Context(), policy); err != nil {
		t.Errorf("deleting a policy: %v", err)
	}
}

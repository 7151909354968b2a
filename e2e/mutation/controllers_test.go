package mutation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestDeploymentSettles takes a Deployment through its life: each change makes one
// ReplicaSet, an undo none, pods equal their template, and for 30 seconds after the
// last change nothing moves.
func TestDeploymentSettles(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, everything)
	d := suite.Deployment.New(namespace, "shop", shop(shopImage)).(*appsv1.Deployment)
	d.Spec.Replicas = ptr.To[int32](2)
	create(t, c, d)
	wantMutated(t, c, d)
	settled(t, c, namespace, 1)

	kubectl(t, c, namespace, "", "set", "image", "deployment/shop", "shop="+nextImage)
	settled(t, c, namespace, 2)
	kubectl(t, c, namespace, "", "rollout", "restart", "deployment/shop")
	settled(t, c, namespace, 3)
	kubectl(t, c, namespace, "", "rollout", "undo", "deployment/shop", "--to-revision=1")
	settled(t, c, namespace, 3)
	requireContained(t, "the template after undo", shop(shopImage), deployment(t, c, namespace).Spec.Template.Spec)
	wantMutated(t, c, deployment(t, c, namespace))
	kubectl(t, c, namespace, "", "scale", "deployment/shop", "--replicas=3")
	settled(t, c, namespace, 3)

	last := deployment(t, c, namespace)
	const quiet = 30 * time.Second
	for began := time.Now(); time.Since(began) < quiet; time.Sleep(time.Second) {
		now := deployment(t, c, namespace)
		sets := list(t, c, namespace, &appsv1.ReplicaSetList{})
		if now.Generation != last.Generation || now.Status.CollisionCount != nil || len(sets.Items) != 3 {
			t.Fatalf("after %s: got generation %d, collisionCount %v and %d ReplicaSets, want %d, none and 3",
				time.Since(began), now.Generation, now.Status.CollisionCount, len(sets.Items), last.Generation)
		}
	}
	wantPodsOfTemplates(t, c, namespace)
}

// TestPolicyComesLater switches the mutators on under a Deployment that runs. Its
// ReplicaSet, made anew from the old template, stays that of the Deployment: were it
// changed, the Deployment would make another, without end. Pods are repaired one by
// one, and the template when somebody changes it.
func TestPolicyComesLater(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	create(t, c, suite.Deployment.New(namespace, "shop", shop(shopImage)))
	settled(t, c, namespace, 1)
	written := deployment(t, c, namespace)
	c.Policy(t, namespace, everything)
	requireMutates(t, c, namespace)

	kubectl(t, c, namespace, "", "scale", "deployment/shop", "--replicas=2")
	kubectl(t, c, namespace, "", "delete", "replicasets", "--all")
	const quiet = 4 * time.Second
	for began := time.Now(); time.Since(began) < quiet; time.Sleep(time.Second) {
		settled(t, c, namespace, 1)
		if collisions := deployment(t, c, namespace).Status.CollisionCount; collisions != nil {
			t.Fatalf("after %s: got collisionCount %d, want none", time.Since(began), *collisions)
		}
	}
	if diff := cmp.Diff(written.Spec.Template, deployment(t, c, namespace).Spec.Template); diff != "" {
		t.Errorf("template that nobody has changed (-before +after):\n%s", diff)
	}
	suite.Eventually(t, suite.Soon, func() error {
		pods := list(t, c, namespace, &corev1.PodList{}).Items
		repaired := 0
		for _, pod := range pods {
			if pod.Spec.Containers[0].Image == c.Registry.Pinned(shopImage) && pod.Spec.Containers[0].ReadinessProbe != nil {
				repaired++
			}
		}
		if repaired != 2 || len(pods) != 2 {
			return fmt.Errorf("got %d of %d pods repaired, want 2 of 2", repaired, len(pods))
		}
		return nil
	})
	kubectl(t, c, namespace, "", "rollout", "restart", "deployment/shop")
	settled(t, c, namespace, 2)
	wantMutated(t, c, deployment(t, c, namespace))
}

// wantPodsOfTemplates requires that every pod has exactly the containers and the
// security context of its ReplicaSet's template, and that one ReplicaSet has the
// Deployment's template.
func wantPodsOfTemplates(t *testing.T, c *suite.Cluster, namespace string) {
	t.Helper()
	d := deployment(t, c, namespace)
	templates := map[string]corev1.PodSpec{}
	same := 0
	for _, set := range list(t, c, namespace, &appsv1.ReplicaSetList{}).Items {
		templates[set.Name] = set.Spec.Template.Spec
		if cmp.Equal(set.Spec.Template.Spec, d.Spec.Template.Spec) {
			same++
		}
	}
	if same != 1 {
		t.Errorf("got %d ReplicaSets with the Deployment's template, want 1", same)
	}
	pods := list(t, c, namespace, &corev1.PodList{}).Items
	if len(pods) == 0 {
		t.Error("got no pods, want some")
	}
	for _, pod := range pods {
		template := templates[metav1.GetControllerOf(&pod).Name]
		if diff := cmp.Diff(template.Containers, pod.Spec.Containers); diff != "" {
			t.Errorf("containers of pod %s (-template +pod):\n%s", pod.Name, diff)
		}
		if diff := cmp.Diff(template.SecurityContext, pod.Spec.SecurityContext); diff != "" {
			t.Errorf("security context of pod %s (-template +pod):\n%s", pod.Name, diff)
		}
	}
}

// operator is a controller that compares the pods it owns with what it wants, and
// replaces those that differ.
type operator struct {
	*suite.Cluster
	namespace string
	owner     metav1.OwnerReference
	replaced  int
}

// reconcile is one turn.
func (o *operator) reconcile(t *testing.T) {
	t.Helper()
	want := suite.Pod.New(o.namespace, "member-1", shop(shopImage)).(*corev1.Pod)
	want.OwnerReferences = []metav1.OwnerReference{o.owner}
	var live corev1.Pod
	err := o.Client.Get(t.Context(), client.ObjectKeyFromObject(want), &live)
	switch {
	case client.IgnoreNotFound(err) != nil:
		t.Fatal(err)
	case err != nil:
		create(t, o.Cluster, want)
	case !sameAsWritten(want.Spec.Containers[0], live.Spec.Containers[0]):
		if err := o.Client.Delete(t.Context(), &live, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		o.replaced++
	}
}

// sameAsWritten compares what the operator writes, or leaves out, and what the API
// server fills nothing in for.
func sameAsWritten(want, live corev1.Container) bool {
	return want.Image == live.Image && cmp.Equal(want.Env, live.Env) && cmp.Equal(want.SecurityContext, live.SecurityContext) &&
		cmp.Equal(want.ReadinessProbe, live.ReadinessProbe) && cmp.Equal(want.LivenessProbe, live.LivenessProbe)
}

// TestOperator holds that pods of a controller that nobody knows are left as it has
// written them, so that it does not replace them for ever; and that it would, were
// they not.
func TestOperator(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	const owned = `owners: [portcullis.dev/PodPolicy]`
	for name, test := range map[string]struct {
		spec  string
		loops bool
	}{
		"left alone": {everything, false},
		"listed":     {`{mutate: {digests: {` + owned + `}, probes: {` + owned + `}, logging: {` + owned + `}, hardening: {` + owned + `}}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := c.Namespace(t, nil)
			policy := c.Policy(t, namespace, test.spec)
			// Any object of a kind that is not built in can own a pod.
			owner := suite.NewPolicy(t, policy, "")
			if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(owner), owner); err != nil {
				t.Fatal(err)
			}
			o := &operator{Cluster: c, namespace: namespace, owner: *metav1.NewControllerRef(owner, owner.GroupVersionKind())}
			const turns = 8
			for range turns {
				o.reconcile(t)
			}
			if loops := o.replaced > 0; loops != test.loops {
				t.Errorf("got %d pods replaced in %d turns, want it to go on for ever: %v", o.replaced, turns, test.loops)
			}
		})
	}
}

// TestEveryPatchIsAccepted creates every kind with each mutator alone and with all
// of them: the API server takes what comes out.
func TestEveryPatchIsAccepted(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	specs := map[string]string{"all": everything}
	for _, section := range []string{"digests", "probes", "logging", "hardening"} {
		specs[section] = "{mutate: {" + section + ": {}}}"
	}
	hard := shop(shopImage)
	hard.InitContainers = []corev1.Container{
		{Name: "init", Image: toolsImage, SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CAP_SYS_ADMIN"}}}},
		{Name: "sidecar", Image: sidecarImage, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		{Name: "privileged", Image: toolsImage, SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)}},
	}
	windows := shop(shopImage)
	windows.OS = &corev1.PodOS{Name: corev1.Windows}
	for name, spec := range specs {
		namespace := c.Namespace(t, nil)
		c.Policy(t, namespace, spec)
		for _, kind := range suite.Kinds() {
			for what, pod := range map[string]corev1.PodSpec{"plain": shop(shopImage), "hard": hard, "windows": windows} {
				object := kind.New(namespace, "shop", pod)
				if err := c.Client.Create(t.Context(), object, client.DryRunAll); err != nil {
					t.Errorf("%s %s with %s: %v", what, kind.Name, name, err)
					continue
				}
				after := suite.SpecOf(object)
				if changed := fmt.Sprintf("%+v", after.Containers[0]) != fmt.Sprintf("%+v", pod.Containers[0]); !changed {
					t.Errorf("%s %s with %s: got nothing changed, want something", what, kind.Name, name)
				}
				// Nobody probes what is there to end.
				if job := kind == suite.Job || kind == suite.CronJob; what == "plain" && name == "all" && !job {
					wantMutated(t, c, object)
				}
			}
		}
	}
}

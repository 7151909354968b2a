package exceptions_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

func privileged() corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	return spec
}

// TestGeneratedPods holds that the real controllers can make the Pods of an exempt
// workload, and that a workload with another name is refused.
func TestGeneratedPods(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	long := "a" + strings.Repeat("-long", 12) // its ReplicaSet's Pods have names that are cut
	for _, test := range []struct {
		kind suite.Kind
		name string
	}{
		{suite.Deployment, "web"}, {suite.Deployment, long}, {suite.ReplicaSet, "web"}, {suite.StatefulSet, "web"}, {suite.Job, "web"}, {suite.ReplicationController, "web"},
	} {
		t.Run(test.kind.Name+"/"+test.name, func(t *testing.T) {
			namespace := c.Namespace(t, nil)
			policy := c.Policy(t, namespace, baseline)
			match := fmt.Sprintf("kinds: [%s], names: [%s]", test.kind.Name, test.name)
			c.CreateException(t, suite.Exception{Policy: policy, Namespace: namespace, Match: match}.Object(t))
			c.WaitForPolicies(t, c.Server)
			if err := c.Client.Create(t.Context(), test.kind.New(namespace, "other", privileged())); err == nil {
				t.Errorf("got a %s with another name created, want it refused", test.kind.Name)
			}
			object := test.kind.New(namespace, test.name, privileged())
			if test.name == long {
				object = withLabels(object.(*appsv1.Deployment), map[string]string{"app": "long"}) // a label is shorter
			}
			if err := c.Client.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			suite.Eventually(t, suite.Soon, func() error {
				var pods corev1.PodList
				if err := c.Client.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
					return err
				}
				if len(pods.Items) != 1 {
					return fmt.Errorf("got %d pods, want 1", len(pods.Items))
				}
				t.Logf("made %s", pods.Items[0].Name)
				return nil
			})
		})
	}
}

func withLabels(d *appsv1.Deployment, labels map[string]string) *appsv1.Deployment {
	d.Labels, d.Spec.Selector.MatchLabels, d.Spec.Template.Labels = labels, labels, labels
	return d
}

// TestForgedOwner is T11 with an exception: to name the exempt ReplicaSet as owner
// makes no Pod exempt.
func TestForgedOwner(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baseline)
	c.CreateException(t, suite.Exception{Policy: policy, Namespace: namespace, Match: "kinds: [ReplicaSet], names: [web]"}.Object(t))
	c.WaitForPolicies(t, c.Server)
	owner := suite.ReplicaSet.New(namespace, "web", privileged())
	if err := c.Client.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	forged := suite.Pod.New(namespace, "evil", privileged())
	forged.SetGenerateName("web-")
	forged.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))})
	if err := c.Client.Create(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "spec.containers[0].securityContext.privileged is true") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestNamespaceNames is T22 with an exception: namespaces are whole names.
func TestNamespaceNames(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	evil := namespace + "-evil"
	c.NamedNamespace(t, evil, nil)
	policy := suite.NewPolicy(t, "names-"+namespace, fmt.Sprintf("{match: {namespaces: [%s, %s]}, validate: {podSecurity: {level: baseline}}}", namespace, evil))
	c.CreatePolicy(t, policy, c.Server)
	c.CreateException(t, suite.Exception{Policy: policy.GetName(), Namespace: namespace}.Object(t))
	c.WaitForPolicies(t, c.Server)
	if err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "x", privileged())); err != nil {
		t.Errorf("%s: got %v, want it created", namespace, err)
	}
	if err := c.Client.Create(t.Context(), suite.Pod.New(evil, "x", privileged())); err == nil {
		t.Errorf("%s: got it created, want it refused", evil)
	}
}

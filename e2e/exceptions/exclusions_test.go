package exceptions_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestExcludedUser holds that a policy leaves the requests of one user alone, those
// of nobody else, and not what a controller makes of them.
func TestExcludedUser(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, `{match: {excludeUsernames: [jane]}, validate: {podSecurity: {level: baseline}}}`)
	as := func(user string) client.Client {
		made, _ := c.NewClient(t, func(config *rest.Config) {
			config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
		})
		return made
	}
	if err := as("jane").Create(t.Context(), suite.Pod.New(namespace, "by-jane", privileged())); err != nil {
		t.Errorf("jane: got %v, want the pod created", err)
	}
	for _, user := range []string{"jane2", "Jane", "system:serviceaccount:jane:jane"} {
		if err := as(user).Create(t.Context(), suite.Pod.New(namespace, "by-other", privileged())); err == nil {
			t.Errorf("%s: got the pod created, want it refused", user)
		}
	}
	set := suite.ReplicaSet.New(namespace, "jane-set", privileged())
	if err := as("jane").Create(t.Context(), set); err != nil {
		t.Errorf("jane: got %v, want the ReplicaSet created", err)
	}
	suite.Eventually(t, suite.Soon, func() error { return refusedPods(t, c, namespace, "jane-set") })
}

// TestExcludedRuntimeClass holds the same for the pods of a runtime class.
func TestExcludedRuntimeClass(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, `{match: {excludeRuntimeClasses: [`+namespace+`]}, validate: {podSecurity: {level: baseline}}}`)
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Handler: "any"}
	if err := c.Client.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	spec := privileged()
	for _, kind := range []suite.Kind{suite.Pod, suite.Deployment} {
		spec.RuntimeClassName = nil
		if err := c.Client.Create(t.Context(), kind.New(namespace, "other", spec)); err == nil {
			t.Errorf("%s without a runtime class: got it created, want it refused", kind.Name)
		}
		spec.RuntimeClassName = ptr.To(namespace)
		if err := c.Client.Create(t.Context(), kind.New(namespace, "excluded", spec)); err != nil {
			t.Errorf("%s of the runtime class: got %v, want it created", kind.Name, err)
		}
	}
}

// refusedPods is nil once the controller of a ReplicaSet has said that its pods are
// refused.
func refusedPods(t *testing.T, c *suite.Cluster, namespace, name string) error {
	t.Helper()
	var set appsv1.ReplicaSet
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &set); err != nil {
		return err
	}
	for _, condition := range set.Status.Conditions {
		if condition.Type == appsv1.ReplicaSetReplicaFailure && strings.Contains(condition.Message, "privileged is true") {
			return nil
		}
	}
	return fmt.Errorf("got conditions %v and %d pods, want a refusal", set.Status.Conditions, set.Status.Replicas)
}

package mutation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestOtherControllersSettle is TestDeploymentSettles for the other controllers that
// compare pods, or the templates that they remember, with their own: each makes its
// pods as its template says, an update makes one revision, and then nothing moves.
func TestOtherControllersSettle(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, everything)
	create(t, c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: namespace}}) // a DaemonSet makes a pod for each
	spec := shop(shopImage)
	spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} // nobody ever calls that node ready
	kinds := []suite.Kind{suite.StatefulSet, suite.DaemonSet, suite.ReplicaSet, suite.ReplicationController, suite.Job}
	owners := map[string]client.Object{}
	for _, kind := range kinds {
		owners[kind.Name] = create(t, c, kind.New(namespace, strings.ToLower(kind.Name), spec))
	}
	suite.Eventually(t, 6*suite.Soon, func() error {
		if pods := podsByOwner(t, c, namespace); len(pods) != len(kinds) {
			return fmt.Errorf("got pods of %v, want one of each of %d kinds", slices.Sorted(maps.Keys(pods)), len(kinds))
		}
		return nil
	})
	for kind, pod := range podsByOwner(t, c, namespace) {
		template := suite.SpecOf(owners[kind])
		if diff := cmp.Diff(template.Containers, pod.Spec.Containers); diff != "" {
			t.Errorf("containers of the pod of a %s (-template +pod):\n%s", kind, diff)
		}
		if diff := cmp.Diff(template.AutomountServiceAccountToken, pod.Spec.AutomountServiceAccountToken); diff != "" {
			t.Errorf("the token of the pod of a %s (-template +pod):\n%s", kind, diff)
		}
	}
	kubectl(t, c, namespace, "", "set", "env", "statefulset/statefulset", "daemonset/daemonset", "LEVEL=debug")
	const revisions = 4 // two of the StatefulSet, two of the DaemonSet
	suite.Eventually(t, 6*suite.Soon, func() error {
		pod := podsByOwner(t, c, namespace)["DaemonSet"]
		if !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
			return slices.Contains(c.Env, corev1.EnvVar{Name: "LEVEL", Value: "debug"})
		}) {
			return fmt.Errorf("the DaemonSet has not replaced its pod")
		}
		if got := len(list(t, c, namespace, &appsv1.ControllerRevisionList{}).Items); got != revisions {
			return fmt.Errorf("got %d ControllerRevisions, want %d", got, revisions)
		}
		return nil
	})
	settledPods := podNames(t, c, namespace)
	const quiet = 8 * time.Second
	for began := time.Now(); time.Since(began) < quiet; time.Sleep(time.Second) {
		got := len(list(t, c, namespace, &appsv1.ControllerRevisionList{}).Items)
		if pods := podNames(t, c, namespace); got != revisions || !slices.Equal(pods, settledPods) {
			t.Fatalf("after %s: got pods %v and %d ControllerRevisions, want %v and %d", time.Since(began), pods, got, settledPods, revisions)
		}
	}
}

// podsByOwner are the pods that are there to stay, by the kind of their owner.
func podsByOwner(t *testing.T, c *suite.Cluster, namespace string) map[string]corev1.Pod {
	t.Helper()
	pods := map[string]corev1.Pod{}
	for _, pod := range list(t, c, namespace, &corev1.PodList{}).Items {
		if owner := metav1.GetControllerOf(&pod); owner != nil && pod.DeletionTimestamp == nil {
			pods[owner.Kind] = pod
		}
	}
	return pods
}

func podNames(t *testing.T, c *suite.Cluster, namespace string) []string {
	t.Helper()
	var names []string
	for _, pod := range list(t, c, namespace, &corev1.PodList{}).Items {
		names = append(names, pod.Name+" "+string(pod.UID))
	}
	slices.Sort(names)
	return names
}

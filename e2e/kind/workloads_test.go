//go:build kind

package kind

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// workload is one that makes pods, with what is expected of it.
type workload struct {
	kind suite.Kind
	// edit changes the object before it is created. Nil: as it is.
	edit func(client.Object)
	// command of the container. Empty: the image's.
	command []string
	// done is a check of the pods that come of it.
	done func(*corev1.Pod) error
	// patience is for pods to be made at all.
	patience time.Duration
}

// TestWorkloads creates what makes pods, by tags. The template is pinned, its
// controller makes pods of it as they are, and they run; and nobody changes the
// object any more after that.
func TestWorkloads(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "pin", nil)
	image := inTest(webImage) + "@" + c.registry.digest(t, webImage)
	everyMinute := func(o client.Object) { o.(*batchv1.CronJob).Spec.Schedule = "* * * * *" }
	once := []string{"/app", "once"}
	for name, w := range map[string]workload{
		"deployment":  {kind: suite.Deployment, done: ready},
		"statefulset": {kind: suite.StatefulSet, done: ready, edit: func(o client.Object) { o.(*appsv1.StatefulSet).Spec.Replicas = new(int32(2)) }},
		"daemonset":   {kind: suite.DaemonSet, done: ready},
		"job":         {kind: suite.Job, done: succeeded, command: once},
		"cronjob":     {kind: suite.CronJob, done: succeeded, command: once, edit: everyMinute, patience: 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			podSpec := spec(webImage)
			podSpec.Containers[0].Command = w.command
			object := w.kind.New(namespace, name, podSpec)
			if w.edit != nil {
				w.edit(object)
			}
			c.mustCreate(t, object)
			created := object.GetGeneration()
			if got := suite.SpecOf(object).Containers[0].Image; got != image {
				t.Errorf("image of the template: got %q, want %q", got, image)
			}
			c.waitForPods(t, namespace, name, w)
			for _, pod := range c.podsOf(t, namespace, name) {
				if got := pod.Spec.Containers[0].Image; got != image {
					t.Errorf("image of pod %s: got %q, want %q", pod.Name, got, image)
				}
			}
			if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatal(err)
			}
			if got := object.GetGeneration(); got != created {
				t.Errorf("generation: got %d, want %d as after creation: somebody changes the object", got, created)
			}
		})
	}
}

// waitForPods waits until there are pods and all of them are as they should be.
func (c *cluster) waitForPods(t *testing.T, namespace, name string, w workload) {
	t.Helper()
	suite.Eventually(t, podTimeout+w.patience, func() error {
		time.Sleep(200 * time.Millisecond)
		pods := c.podsOf(t, namespace, name)
		if len(pods) == 0 {
			return fmt.Errorf("%s %s has no pods", w.kind.Name, name)
		}
		for _, pod := range pods {
			if err := w.done(&pod); err != nil {
				return fmt.Errorf("pod %s: %w; it is %s", pod.Name, err, describe(&pod))
			}
		}
		return nil
	})
}

// podsOf are the pods whose template suite.Kind.New has labelled.
func (c *cluster) podsOf(t *testing.T, namespace, name string) []corev1.Pod {
	t.Helper()
	list, err := c.clientset.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

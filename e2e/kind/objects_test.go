//go:build kind

package kind

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// podTimeout is for a pod to be scheduled, its image to be pulled and its probes to
// succeed, on a busy machine.
const podTimeout = 4 * time.Minute

// kubectl runs kubectl, which has to succeed.
func (c *cluster) kubectl(t testing.TB, args ...string) string {
	t.Helper()
	output, err := c.tryKubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func kubectlPath() string { return harness.Program("kubectl") }

// tryKubectl runs kubectl.
func (c *cluster) tryKubectl(ctx context.Context, args ...string) (string, error) {
	return command{args: append([]string{kubectlPath(), "--kubeconfig", c.kubeconfig}, args...)}.run(ctx)
}

// namespace creates a namespace that goes with the test. Its prefix decides which
// policy of testdata/policies.yaml is for it.
func (c *cluster) namespace(t testing.TB, prefix string, labels map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", prefix, c.names.Add(1))
	c.namedNamespace(t, name, labels)
	return name
}

func (c *cluster) namedNamespace(t testing.TB, name string, labels map[string]string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if err := c.client.Create(t.Context(), object); err != nil {
		t.Fatalf("creating namespace %s: %v", name, err)
	}
	c.deleteAfter(t, object)
	suite.Eventually(t, time.Minute, func() error { // its controller makes it, and pods need it
		_, err := c.clientset.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// spec is a pod spec that passes restricted, with one container.
func spec(image string) corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.Containers[0].Image = inTest(image)
	return spec
}

// newPod is a pod that passes restricted.
func newPod(namespace, name, image string) *corev1.Pod {
	return suite.Pod.New(namespace, name, spec(image)).(*corev1.Pod)
}

// mustCreate creates an object, which has to be allowed.
func (c *cluster) mustCreate(t testing.TB, object client.Object) {
	t.Helper()
	if err := c.client.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s/%s: %v", object, object.GetNamespace(), object.GetName(), err)
	}
}

// waitForPod waits until a pod is what check wants, and returns it.
func (c *cluster) waitForPod(t testing.TB, namespace, name string, check func(*corev1.Pod) error) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	suite.Eventually(t, podTimeout, func() (err error) {
		time.Sleep(100 * time.Millisecond)
		if pod, err = c.clientset.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if err := check(pod); err != nil {
			return fmt.Errorf("pod %s/%s: %w; it is %s", namespace, name, err, describe(pod))
		}
		return nil
	})
	return pod
}

// ready, running and succeeded are checks for waitForPod.
func ready(pod *corev1.Pod) error {
	if !isReady(pod) {
		return fmt.Errorf("not ready")
	}
	return nil
}

func succeeded(pod *corev1.Pod) error {
	if pod.Status.Phase != corev1.PodSucceeded {
		return fmt.Errorf("has not succeeded")
	}
	return nil
}

// describe says in one line how far a pod is.
func describe(pod *corev1.Pod) string {
	words := []string{string(pod.Status.Phase)}
	for _, condition := range pod.Status.Conditions {
		if condition.Status != corev1.ConditionTrue && condition.Message != "" {
			words = append(words, condition.Message)
		}
	}
	for _, status := range pod.Status.ContainerStatuses {
		switch state := status.State; {
		case state.Waiting != nil:
			words = append(words, status.Name+": "+state.Waiting.Reason, state.Waiting.Message)
		case state.Terminated != nil:
			words = append(words, status.Name+": "+state.Terminated.Reason, state.Terminated.Message)
		}
	}
	return strings.Join(words, "; ")
}

// wantRefusal requires a refusal by our validating webhook that contains a text.
func wantRefusal(t testing.TB, err error, text string) {
	t.Helper()
	wantRefusalBy(t, "validate", err, text)
}

// wantRefusalBy requires a refusal by one of our webhooks, mutate or validate.
func wantRefusalBy(t testing.TB, webhook string, err error, text string) {
	t.Helper()
	ours := fmt.Sprintf("admission webhook %q denied the request", webhook+".portcullis.dev")
	if err == nil || !strings.Contains(err.Error(), ours) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %s: ... %s", err, ours, text)
	}
}

// deleteAfter deletes an object when the test ends.
func (c *cluster) deleteAfter(t testing.TB, object client.Object) {
	t.Cleanup(func() {
		if err := c.client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	})
}

// terminated wants all containers of the list to have ended.
func terminated(statuses []corev1.ContainerStatus) error {
	if len(statuses) == 0 {
		return fmt.Errorf("has no such container")
	}
	for _, status := range statuses {
		if status.State.Terminated == nil {
			return fmt.Errorf("container %s has not ended", status.Name)
		}
	}
	return nil
}

// wantText requires that a text contains others.
func wantText(t testing.TB, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant it to contain %q", got, want)
		}
	}
}

// wantNoText requires that a text does not contain another.
func wantNoText(t testing.TB, got, unwanted string) {
	t.Helper()
	if strings.Contains(got, unwanted) {
		t.Errorf("got\n%s\nwant it not to contain %q", got, unwanted)
	}
}

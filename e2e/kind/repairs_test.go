//go:build kind

package kind

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestHardeningSetsUser holds that an image whose USER is a name starts although its
// user has to be known as a number, and that it would not by itself.
func TestHardeningSetsUser(t *testing.T) {
	c := standing(t)
	podSpec := func() corev1.PodSpec {
		s := spec(namedImage)
		s.SecurityContext.RunAsUser = nil // runAsNonRoot stays, which a kubelet cannot check against a name
		return s
	}
	without := c.namespace(t, "pin", nil)
	c.mustCreate(t, suite.Pod.New(without, "web", podSpec()))
	c.waitForPod(t, without, "web", func(pod *corev1.Pod) error {
		if got := describe(pod); !strings.Contains(got, "non-numeric user (web)") {
			return fmt.Errorf("want the kubelet to refuse it")
		}
		return nil
	})

	namespace := c.namespace(t, "harden", nil)
	c.mustCreate(t, suite.Pod.New(namespace, "web", podSpec()))
	c.waitForPod(t, namespace, "web", ready)
	if got, want := c.kubectl(t, "--namespace", namespace, "logs", "web"), "serving as uid 1234\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// call asks a pod of the test images for something, through the API server.
func (c *cluster) call(t *testing.T, namespace, pod, path string) string {
	t.Helper()
	body, err := c.clientset.CoreV1().Pods(namespace).ProxyGet("http", pod, "8080", path, nil).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("calling %s of pod %s/%s: %v", path, namespace, pod, err)
	}
	return strings.TrimSpace(string(body))
}

// waitForCalls waits until /healthz of a pod has been asked.
func (c *cluster) waitForCalls(t *testing.T, namespace, pod string) {
	t.Helper()
	suite.Eventually(t, podTimeout, func() error {
		time.Sleep(200 * time.Millisecond)
		if got := c.call(t, namespace, pod, "/calls"); got == "0" {
			return fmt.Errorf("nobody has called /healthz of pod %s/%s", namespace, pod)
		}
		return nil
	})
}

// TestInjectedProbes holds that the kubelet calls the probes that were added, and
// that a failing one restarts the container.
func TestInjectedProbes(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "probes", nil)
	deployment := suite.Deployment.New(namespace, "web", spec(webImage))
	meta := suite.TemplateMetaOf(deployment)
	meta.Annotations = map[string]string{
		"portcullis.dev/readiness-probe": "http:8080/healthz",
		"portcullis.dev/liveness-probe":  "http:8080/healthz",
	}
	c.mustCreate(t, deployment)
	c.waitForPods(t, namespace, "web", workload{kind: suite.Deployment, done: ready})
	pod := c.podsOf(t, namespace, "web")[0].Name
	c.waitForCalls(t, namespace, pod)
	c.call(t, namespace, pod, "/break")
	c.waitForPod(t, namespace, pod, func(pod *corev1.Pod) error {
		if pod.Status.ContainerStatuses[0].RestartCount == 0 {
			return fmt.Errorf("has not been restarted")
		}
		return ready(pod)
	})
}

// TestHealthcheckProbe holds that a HEALTHCHECK of the image becomes a readiness
// probe that works, in both directions.
func TestHealthcheckProbe(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "probes", nil)
	c.mustCreate(t, suite.Deployment.New(namespace, "web", spec(healthImage)))
	c.waitForPods(t, namespace, "web", workload{kind: suite.Deployment, done: ready})
	pod := c.podsOf(t, namespace, "web")[0]
	probe := pod.Spec.Containers[0].ReadinessProbe
	if probe == nil || probe.Exec == nil || strings.Join(probe.Exec.Command, " ") != "/app get http://127.0.0.1:8080/healthz" {
		t.Fatalf("readiness probe: got %+v, want the command of the HEALTHCHECK", probe)
	}
	c.waitForCalls(t, namespace, pod.Name)
	c.call(t, namespace, pod.Name, "/break")
	c.waitForPod(t, namespace, pod.Name, func(pod *corev1.Pod) error {
		if isReady(pod) {
			return fmt.Errorf("is ready, although its check fails")
		}
		return nil
	})
}

// TestPythonLogs holds that a line that Python prints is in the log at once with us,
// and that it is not without.
func TestPythonLogs(t *testing.T) {
	const wait = 20 * time.Second // for a line that is not to come
	c := standing(t)
	podSpec := spec(pythonImage)
	podSpec.Containers[0].Args = []string{"-c", "import time; print('hello'); time.sleep(3600)"}
	podSpec.TerminationGracePeriodSeconds = new(int64(1))
	with, without := c.namespace(t, "logs", nil), c.namespace(t, "pin", nil)
	for _, namespace := range []string{with, without} {
		c.mustCreate(t, suite.Pod.New(namespace, "python", podSpec))
		c.waitForPod(t, namespace, "python", ready)
	}
	logs := func(namespace string) string { return c.kubectl(t, "--namespace", namespace, "logs", "python") }
	suite.Eventually(t, wait, func() error {
		if got := logs(with); got != "hello\n" {
			time.Sleep(200 * time.Millisecond)
			return fmt.Errorf("got the log %q, want the line", got)
		}
		return nil
	})
	time.Sleep(wait)
	if got := logs(without); got != "" {
		t.Errorf("without us: got the log %q, want none yet: the test proves nothing", got)
	}
}

// TestTerminationMessage holds that what a container says last becomes its
// termination message.
func TestTerminationMessage(t *testing.T) {
	c := standing(t)
	const last = "no database at db:5432"
	for namespace, want := range map[string]string{c.namespace(t, "logs", nil): last + "\n", c.namespace(t, "pin", nil): ""} {
		podSpec := spec(webImage)
		podSpec.Containers[0].Args = []string{"fail", last}
		podSpec.RestartPolicy = corev1.RestartPolicyNever
		c.mustCreate(t, suite.Pod.New(namespace, "fails", podSpec))
		pod := c.waitForPod(t, namespace, "fails", func(pod *corev1.Pod) error { return terminated(pod.Status.ContainerStatuses) })
		if got := pod.Status.ContainerStatuses[0].State.Terminated.Message; got != want {
			t.Errorf("termination message in %s: got %q, want %q", namespace, got, want)
		}
	}
}

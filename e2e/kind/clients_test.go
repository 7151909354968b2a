//go:build kind

package kind

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestKubectl holds what somebody at a terminal gets: what he typed, pinned, and a
// refusal that says what to write instead.
func TestKubectl(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "load", nil) // pinned and baseline
	pinned := inTest(webImage) + "@" + c.registry.digest(t, webImage)
	c.kubectl(t, "--namespace", namespace, "run", "web", "--image", inTest(webImage))
	got := c.kubectl(t, "--namespace", namespace, "get", "pod/web", "--output", "jsonpath={.spec.containers[0].image}")
	if got != pinned {
		t.Errorf("image of the pod: got %q, want %q", got, pinned)
	}
	c.kubectl(t, "--namespace", namespace, "create", "deployment", "web", "--image", inTest(webImage))
	c.wantPinnedDeployment(t, namespace, "web")
	c.kubectl(t, "--namespace", namespace, "wait", "--for", "condition=Ready", "pod/web", "--timeout", podTimeout.String())
	c.kubectl(t, "--namespace", namespace, "rollout", "status", "deployment/web", "--timeout", podTimeout.String())
	_, err := c.tryKubectl(t.Context(), "--namespace", namespace, "run", "bad", "--image", inTest(webImage), "--overrides", `{"spec": {"hostNetwork": true}}`)
	wantRefusal(t, err, "load: podSecurity/hostNamespaces: spec.hostNetwork is true")
	wantRefusal(t, err, "Fix: ")
}

// TestClientGo holds what a program gets by the typed client: the pinned object in the
// answer, and a refusal that it can tell from a failure.
func TestClientGo(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "load", nil)
	pinned := inTest(webImage) + "@" + c.registry.digest(t, webImage)
	pod, err := c.clientset.CoreV1().Pods(namespace).Create(t.Context(), newPod(namespace, "web", webImage), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	deployment := suite.Deployment.New(namespace, "web", spec(webImage)).(*appsv1.Deployment)
	deployment, err = c.clientset.AppsV1().Deployments(namespace).Create(t.Context(), deployment, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"Pod": pod.Spec.Containers[0].Image, "Deployment": deployment.Spec.Template.Spec.Containers[0].Image} {
		if got != pinned {
			t.Errorf("image of the %s: got %q, want %q", name, got, pinned)
		}
	}
	bad := newPod(namespace, "bad", webImage)
	bad.Spec.HostNetwork = true
	_, err = c.clientset.CoreV1().Pods(namespace).Create(t.Context(), bad, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want an error of the reason Forbidden", err)
	}
	wantRefusal(t, err, "load: podSecurity/hostNamespaces: spec.hostNetwork is true")
}

// TestHelm installs a chart of somebody's, whose image has a tag, upgrades the
// release to the unchanged chart, and to values that are refused.
func TestHelm(t *testing.T) {
	c := standing(t)
	helm := program(t, "helm")
	namespace := c.namespace(t, "load", nil) // pinned and baseline
	run := func(args ...string) (string, error) {
		args = append([]string{helm, "--kubeconfig", c.kubeconfig, "--namespace", namespace}, args...)
		return command{args: args}.run(t.Context())
	}
	for _, step := range []string{"install", "upgrade"} {
		if output, err := run(step, "web", "testdata/chart", "--wait", "--timeout", podTimeout.String()); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		c.wantPinnedDeployment(t, namespace, "web")
		if revision := c.kubectl(t, "--namespace", namespace, "get", "deployment/web", "--output",
			`jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}`); revision != "1" {
			t.Errorf("after helm %s: got revision %s of the Deployment, want 1", step, revision)
		}
	}
	_, err := run("upgrade", "web", "testdata/chart", "--set", "hostNetwork=true")
	wantRefusal(t, err, "podSecurity/hostNamespaces")
}

// TestKustomize applies what kustomize builds.
func TestKustomize(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "pin", nil)
	built := run(t, program(t, "kustomize"), "build", "testdata/kustomization")
	apply := command{args: []string{kubectlPath(), "--kubeconfig", c.kubeconfig, "--namespace", namespace, "apply", "--filename", "-"}, stdin: built}
	for range 2 {
		if output, err := apply.run(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		c.wantPinnedDeployment(t, namespace, "web")
	}
	c.kubectl(t, "--namespace", namespace, "rollout", "status", "deployment/web", "--timeout", podTimeout.String())
	if sets := c.kubectl(t, "--namespace", namespace, "get", "replicasets", "--output", "name"); len(strings.Fields(sets)) != 1 {
		t.Errorf("got ReplicaSets %s, want one: applying again has changed the template", sets)
	}
}

// wantPinnedDeployment requires the digest that the registry has.
func (c *cluster) wantPinnedDeployment(t *testing.T, namespace, name string) {
	t.Helper()
	got := c.kubectl(t, "--namespace", namespace, "get", "deployment/"+name, "--output", "jsonpath={.spec.template.spec.containers[0].image}")
	if want := inTest(webImage) + "@" + c.registry.digest(t, webImage); got != want {
		t.Errorf("image of Deployment %s: got %q, want %q", name, got, want)
	}
}

// pythonResult is what testdata/client.py prints.
type pythonResult struct {
	Pod, Deployment string // the images that came back
	Refusal         struct {
		Status  int
		Reason  string
		Message string
	}
	Job string // how it ended
}

// TestPythonClient runs a pipeline in the cluster, a Job that creates things by the
// official Python client with the rights of its service account.
func TestPythonClient(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "load", nil)
	script, err := os.ReadFile(filepath.Join("testdata", "client.py"))
	if err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "pipeline"}
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"client.py": string(script)}})
	c.mustCreate(t, &corev1.ServiceAccount{ObjectMeta: meta})
	c.mustCreate(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create", "get"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"create", "get"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get"}},
	}})
	c.mustCreate(t, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
	})
	podSpec := spec(pythonImage)
	podSpec.ServiceAccountName = meta.Name
	podSpec.Containers[0].Args = []string{"/pipeline/client.py", namespace, inTest(webImage)}
	podSpec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "script", MountPath: "/pipeline"}}
	podSpec.Volumes = []corev1.Volume{{Name: "script", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}},
	}}}
	c.mustCreate(t, suite.Job.New(namespace, "pipeline", podSpec))
	c.waitForPods(t, namespace, "pipeline", workload{kind: suite.Job, done: func(pod *corev1.Pod) error { return terminated(pod.Status.ContainerStatuses) }})
	logs := c.kubectl(t, "--namespace", namespace, "logs", "job/pipeline")
	var got pythonResult
	if err := json.Unmarshal([]byte(logs), &got); err != nil {
		t.Fatalf("reading what the pipeline has printed: %v\n%s", err, logs)
	}
	message := got.Refusal.Message
	got.Refusal.Message = ""
	pinned := inTest(webImage) + "@" + c.registry.digest(t, webImage)
	want := pythonResult{Pod: pinned, Deployment: pinned, Job: "succeeded"}
	want.Refusal.Status, want.Refusal.Reason = 403, "Forbidden"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pipeline (-want +got):\n%s", diff)
	}
	wantText(t, message, `admission webhook "validate.portcullis.dev" denied the request: Pod "bad" is refused`,
		"load: podSecurity/hostNamespaces: spec.hostNetwork is true", "Fix: ")
}

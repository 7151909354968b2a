package admission_test

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// running is a namespace in which a bad Deployment and a bad Pod were created
// before a policy came.
func running(t *testing.T, c *suite.Cluster, policy string) (namespace string, deployment, pod client.Object) {
	t.Helper()
	namespace = c.Namespace(t, nil)
	deployment = create(t, c.Client, suite.Deployment.New(namespace, "bad", badSpec()))
	pod = create(t, c.Client, suite.Pod.New(namespace, "bad", badSpec()))
	c.Policy(t, namespace, policy)
	return namespace, deployment, pod
}

// TestHarmlessUpdates holds that what already runs can be scaled, labelled, held,
// finished and deleted whatever is wrong with it, and that nobody hears about it.
func TestHarmlessUpdates(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace, deployment, pod := running(t, c, `{existingViolations: Deny, mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}`)
	// The other direction: the policy is in force.
	wantRefusal(t, c.Client.Create(t.Context(), suite.Deployment.New(namespace, "new", badSpec())), "securityContext.privileged is true")
	quiet, warnings := c.NewClient(t, nil)
	patch := func(object client.Object, merge string) {
		t.Helper()
		if err := quiet.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(merge))); err != nil {
			t.Errorf("patching %T with %s: %v", object, merge, err)
		}
		if got := warnings.Take(); len(got) > 0 {
			t.Errorf("patching %T with %s: got warnings %q, want none", object, merge, got)
		}
	}
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bad"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3},
	}
	if _, err := c.Clientset.AppsV1().Deployments(namespace).UpdateScale(t.Context(), "bad", scale, metav1.UpdateOptions{}); err != nil {
		t.Errorf("scaling: %v", err)
	}
	patch(deployment, `{"spec": {"replicas": 2}}`)
	for _, object := range []client.Object{deployment, pod} {
		patch(object, `{"metadata": {"labels": {"team": "shop"}}}`)
		patch(object, `{"metadata": {"annotations": {"note": "seen"}}}`)
		patch(object, `{"metadata": {"finalizers": ["e2e.portcullis.dev/hold"]}}`)
		patch(object, `{"metadata": {"finalizers": []}}`)
		wantImage(t, suite.SpecOf(object).Containers[0].Image, harness.NginxImage)
		if err := quiet.Delete(t.Context(), object); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
}

// TestExistingViolations holds that an update of something bad passes with a
// warning while it adds nothing bad, unless the policy says otherwise.
func TestExistingViolations(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	_, deployment, _ := running(t, c, baseline)
	admin, warnings := c.NewClient(t, nil)
	suite.SpecOf(deployment).Containers[0].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "1"}}
	if err := admin.Update(t.Context(), deployment); err != nil {
		t.Fatalf("changing something else: %v", err)
	}
	got := strings.Join(warnings.Take(), "\n")
	if want := "spec.template.spec.containers[0].securityContext.privileged is true"; !strings.Contains(got, want) {
		t.Errorf("got warnings %q, want one that names %q", got, want)
	}
	suite.SpecOf(deployment).HostNetwork = true
	wantRefusal(t, admin.Update(t.Context(), deployment), "spec.template.spec.hostNetwork is true")
	suite.SpecOf(deployment).HostNetwork = false
	suite.SpecOf(deployment).Containers = append(suite.SpecOf(deployment).Containers, badContainer("second"))
	wantRefusal(t, admin.Update(t.Context(), deployment), `container "second"`)

	_, strict, _ := running(t, c, `{existingViolations: Deny, validate: {podSecurity: {level: baseline}}}`)
	suite.SpecOf(strict).Containers[0].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "1"}}
	wantRefusal(t, admin.Update(t.Context(), strict), "spec.template.spec.containers[0].securityContext.privileged is true")
}

// TestResize is T03: resizing a pod in place is judged, changes nothing else, and
// asks no registry.
func TestResize(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	image := c.Registry.Host() + "/resize/" + namespace + ":1"
	if err := c.Registry.Push(image, harness.Config{}); err != nil {
		t.Fatal(err)
	}
	spec := badSpec()
	spec.Containers[0].Image = image
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m")}
	pod := create(t, c.Client, suite.Pod.New(namespace, "main", spec))
	c.Policy(t, namespace, pinnedAndSafe)
	asked := c.Registry.Requests("resize/" + namespace)
	admin, warnings := c.NewClient(t, nil)
	patch := `{"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "10m"}}}]}}`
	if err := admin.SubResource("resize").Patch(t.Context(), pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	if got := suite.SpecOf(pod).Containers[0].Resources.Requests[corev1.ResourceCPU]; got.Cmp(resource.MustParse("10m")) != 0 {
		t.Errorf("got CPU %s, want 10m", got.String())
	}
	wantImage(t, suite.SpecOf(pod).Containers[0].Image, image)
	if got := strings.Join(warnings.Take(), "\n"); !strings.Contains(got, "tolerated") {
		t.Errorf("got warnings %q, want one that what was bad before is tolerated", got)
	}
	if got := c.Registry.Requests("resize/" + namespace); got != asked {
		t.Errorf("got %d requests to the registry, want none", got-asked)
	}
}

// TestProtobufClient holds that what a client speaks makes no difference: to a
// webhook the API server speaks JSON.
func TestProtobufClient(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	config := rest.CopyConfig(c.Config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	bad := suite.Pod.New(namespace, "bad", badSpec()).(*corev1.Pod)
	_, err = clientset.CoreV1().Pods(namespace).Create(t.Context(), bad, metav1.CreateOptions{})
	wantRefusal(t, err, "spec.containers[0].securityContext.privileged is true")
	good := suite.Pod.New(namespace, "good", suite.GoodSpec()).(*corev1.Pod)
	stored, err := clientset.CoreV1().Pods(namespace).Create(t.Context(), good, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantImage(t, stored.Spec.Containers[0].Image, c.Registry.Pinned(harness.NginxImage))
}

package admission_test

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestUnknownSubresource is T08: a subresource of pods that this build does not
// know is judged like the pod. No API server sends one yet, so it is posted.
func TestUnknownSubresource(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baseline)
	request := suite.Request{
		Kind: suite.Pod, Namespace: namespace, Subresource: "futurething", Operation: "UPDATE",
		Object: marshal(t, suite.Pod.New(namespace, "main", badSpec())),
		Old:    marshal(t, suite.Pod.New(namespace, "main", suite.GoodSpec())),
	}
	response := suite.Review(t, c.Server, "/validate", request)
	if response.Allowed {
		t.Fatalf("got it allowed, want a refusal by policy %s", policy)
	}
	if got, want := response.Result.Code, int32(403); got != want {
		t.Errorf("got code %d, want %d", got, want)
	}
	// The other direction: a subresource that cannot change what runs.
	request.Subresource = "status"
	if response := suite.Review(t, c.Server, "/validate", request); !response.Allowed {
		t.Errorf("status: got refused with %q, want allowed", response.Result.Message)
	}
}

func marshal(t *testing.T, object any) []byte {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDeletionTimestamp is T09: an object that is being deleted, and held by a
// finalizer, is judged and repaired as ever (CVE-2023-34091).
func TestDeletionTimestamp(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	for _, kind := range []suite.Kind{suite.Deployment, suite.CronJob, suite.PodTemplate, suite.Pod} {
		t.Run(kind.Name, func(t *testing.T) {
			object := kind.New(namespace, "held", suite.GoodSpec())
			object.SetFinalizers([]string{"e2e.portcullis.dev/hold"})
			create(t, c.Client, object)
			if err := c.Client.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatal(err)
			}
			if object.GetDeletionTimestamp() == nil {
				t.Fatal("the object has no deletionTimestamp")
			}
			container := &suite.SpecOf(object).Containers[0]
			container.Image = unreachable
			wantRefusal(t, c.Client.Update(t.Context(), object), kind.Path+".containers[0].image")
			container.Image = harness.FlaskImage
			if err := c.Client.Update(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			wantImage(t, suite.SpecOf(object).Containers[0].Image, c.Registry.Pinned(harness.FlaskImage))
			if kind != suite.Pod {
				suite.SpecOf(object).Containers[0].SecurityContext = badContainer("").SecurityContext
				wantRefusal(t, c.Client.Update(t.Context(), object), kind.Path+".containers[0].securityContext.privileged is true")
				suite.SpecOf(object).Containers[0].SecurityContext = suite.GoodContainer("").SecurityContext
			}
			object.SetFinalizers(nil)
			if err := c.Client.Update(t.Context(), object); err != nil {
				t.Errorf("removing the finalizer: %v", err)
			}
		})
	}
}

// TestGenerateName is T10: an object without a name, and one without a namespace
// in it, as kubectl sends them.
func TestGenerateName(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	post := func(spec corev1.PodSpec) (*corev1.Pod, error) {
		pod := suite.Pod.New("", "", spec).(*corev1.Pod)
		pod.GenerateName = "web-"
		var stored corev1.Pod
		return &stored, c.Clientset.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").
			Body(marshal(t, pod)).Do(t.Context()).Into(&stored)
	}
	_, err := post(badSpec())
	wantRefusal(t, err, `Pod "web-`, "spec.containers[0].securityContext.privileged is true")
	stored, err := post(suite.GoodSpec())
	if err != nil {
		t.Fatal(err)
	}
	wantImage(t, stored.Spec.Containers[0].Image, c.Registry.Pinned(harness.NginxImage))
}

// TestForgedOwner is T11: naming a good ReplicaSet, or some operator's object, as
// owner makes no bad pod good.
func TestForgedOwner(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	replicaSet := create(t, c.Client, suite.ReplicaSet.New(namespace, "good", suite.GoodSpec())).(*appsv1.ReplicaSet)
	owners := map[string]metav1.OwnerReference{
		"ReplicaSet": *metav1.NewControllerRef(replicaSet, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")),
		"operator": {
			APIVersion: "postgresql.cnpg.io/v1", Kind: "Cluster", Name: "db", UID: "7b4c1f62-4a8f-4b58-9f56-0b1f3f0f4a6e",
			Controller: ptr.To(true),
		},
	}
	for name, owner := range owners {
		t.Run(name, func(t *testing.T) {
			pod := suite.Pod.New(namespace, "owned", badSpec())
			pod.SetOwnerReferences([]metav1.OwnerReference{owner})
			wantRefusal(t, c.Client.Create(t.Context(), pod), "spec.containers[0].securityContext.privileged is true")
		})
	}
	bad := suite.ReplicaSet.New(namespace, "owned", badSpec())
	bad.SetOwnerReferences([]metav1.OwnerReference{owners["operator"]})
	wantRefusal(t, c.Client.Create(t.Context(), bad), "spec.template.spec.containers[0].securityContext.privileged is true")
}

// TestControllerAccount is T12: what the controllers of Kubernetes create is
// judged like what a user creates, since it is a user's template.
func TestControllerAccount(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	controller, _ := c.NewClient(t, func(config *rest.Config) {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: "system:serviceaccount:kube-system:replicaset-controller",
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		}
	})
	bad := suite.Pod.New(namespace, "bad", badSpec())
	wantRefusal(t, controller.Create(t.Context(), bad), "spec.containers[0].securityContext.privileged is true")
	good := create(t, controller, suite.Pod.New(namespace, "good", suite.GoodSpec()))
	wantImage(t, suite.SpecOf(good).Containers[0].Image, c.Registry.Pinned(harness.NginxImage))
}

// TestMirrorPod is T26: the annotation of a static pod's copy keeps it from being
// changed, which the kubelet would not bear, and not from being judged.
func TestMirrorPod(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	mirror := func(name string, spec corev1.PodSpec) client.Object {
		spec.NodeName = "node"
		pod := suite.Pod.New(namespace, name, spec)
		pod.SetAnnotations(map[string]string{corev1.MirrorPodAnnotationKey: "0123456789abcdef"})
		return pod
	}
	wantRefusal(t, c.Client.Create(t.Context(), mirror("bad", badSpec())), "spec.containers[0].securityContext.privileged is true")
	good := create(t, c.Client, mirror("good", suite.GoodSpec()))
	wantImage(t, suite.SpecOf(good).Containers[0].Image, harness.NginxImage)
}

// TestImageVolume is T05: what a pod mounts from an image is pinned too.
func TestImageVolume(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinned)
	with := func(image string) corev1.PodSpec {
		spec := suite.GoodSpec()
		spec.Volumes = []corev1.Volume{{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image}}}}
		return spec
	}
	wantRefusal(t, c.Client.Create(t.Context(), suite.Pod.New(namespace, "bad", with(unreachable))), "spec.volumes[0].image.reference")
	good := create(t, c.Client, suite.Pod.New(namespace, "good", with(harness.PythonImage)))
	volume := suite.SpecOf(good).Volumes[0]
	if volume.Image == nil {
		t.Fatal("the API server has dropped the image volume: it is older than 1.33")
	}
	wantImage(t, volume.Image.Reference, c.Registry.Pinned(harness.PythonImage))
}

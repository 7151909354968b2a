package mutation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestJobOnUpdate holds that of a Job that was there before the policy nothing is
// changed, whatever of it is: its template is immutable but for a few fields while it
// is suspended, and a patch to another would have every such update refused.
func TestJobOnUpdate(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	job := suite.Job.New(namespace, "shop", shop(shopImage)).(*batchv1.Job)
	job.Spec.Suspend = ptr.To(true)
	create(t, c, job)
	want := job.Spec.Template.DeepCopy()
	c.Policy(t, namespace, everything)
	requireMutates(t, c, namespace)

	patch := func(merge string) {
		t.Helper()
		if err := c.Client.Patch(t.Context(), job, client.RawPatch(types.MergePatchType, []byte(merge))); err != nil {
			t.Fatalf("patching the Job with %s: %v", merge, err)
		}
		if diff := cmp.Diff(want, &job.Spec.Template); diff != "" {
			t.Errorf("template after %s (-want +got):\n%s", merge, diff)
		}
	}
	patch(`{"metadata": {"labels": {"team": "shop"}}}`)
	want.Spec.NodeSelector = map[string]string{"disk": "fast"}
	want.Annotations = map[string]string{"note": "x"}
	patch(`{"spec": {"template": {"metadata": {"annotations": {"note": "x"}}, "spec": {"nodeSelector": {"disk": "fast"}}}}}`)
	patch(`{"spec": {"suspend": false}}`)
}

// requireMutates requires that the policy of the namespace changes what is new.
func requireMutates(t *testing.T, c *suite.Cluster, namespace string) {
	t.Helper()
	fresh := suite.Pod.New(namespace, "fresh", shop(shopImage))
	if err := c.Client.Create(t.Context(), fresh, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	wantMutated(t, c, fresh)
}

// TestPodOnUpdate holds that a pod that was there before the policy can be labelled,
// given another image and be debugged: the API server lets nothing else be changed.
func TestPodOnUpdate(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	pod := create(t, c, suite.Pod.New(namespace, "shop", shop(shopImage)).(*corev1.Pod))
	want := pod.Spec.DeepCopy()
	c.Policy(t, namespace, everything)
	requireMutates(t, c, namespace)
	patch := func(merge string) {
		t.Helper()
		if err := c.Client.Patch(t.Context(), pod, client.RawPatch(types.StrategicMergePatchType, []byte(merge))); err != nil {
			t.Fatalf("patching the Pod with %s: %v", merge, err)
		}
		if diff := cmp.Diff(want, &pod.Spec); diff != "" {
			t.Errorf("spec after %s (-want +got):\n%s", merge, diff)
		}
	}
	patch(`{"metadata": {"labels": {"team": "shop"}, "annotations": {"portcullis.dev/readiness-probe": "tcp:8080"}}}`)
	want.Containers[0].Image = c.Registry.Pinned(nextImage)
	patch(`{"spec": {"containers": [{"name": "shop", "image": "` + nextImage + `"}]}}`)
}

// TestMirrorPodStays holds that the copy of a static pod is stored as it came: its
// kubelet deletes a copy that differs from its file, and makes it again.
func TestMirrorPodStays(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	without, with := c.Namespace(t, nil), c.Namespace(t, nil)
	c.Policy(t, with, everything)
	requireMutates(t, c, with)
	specs := map[string]*corev1.PodSpec{}
	for _, namespace := range []string{without, with} {
		spec := shop(shopImage)
		spec.NodeName = "node"
		pod := suite.Pod.New(namespace, "shop", spec)
		pod.SetAnnotations(map[string]string{corev1.MirrorPodAnnotationKey: "0123456789abcdef"})
		if err := c.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		specs[namespace] = suite.SpecOf(pod)
	}
	if diff := cmp.Diff(specs[without], specs[with]); diff != "" {
		t.Errorf("mirror pod (-without +with mutators):\n%s", diff)
	}
}

package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// logs is the policy of these tests.
const logs = `{mutate: {logging: {collector: Datadog}}, validate: {logging: {mode: Enforce, require: [environment, terminationMessagePolicy]}}}`

// logging is a pod spec whose container runs Python, with variables of its own.
func logging() corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.Containers[0].Image = harness.PythonImage
	spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "LAST", Value: "z"},
		{Name: "FIRST", Value: "$(LAST)"},
		{Name: "NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "spec.nodeName"}}},
	}
	return spec
}

// wantLogging requires that the container has what the policy adds, after what it
// had.
func wantLogging(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	want := append(logging().Containers[0].Env, corev1.EnvVar{Name: "PYTHONUNBUFFERED", Value: "1"}, corev1.EnvVar{Name: "NO_COLOR", Value: "1"})
	if diff := cmp.Diff(want, spec.Containers[0].Env); diff != "" {
		t.Errorf("stored env (-want +got):\n%s", diff)
	}
	if got, want := spec.Containers[0].TerminationMessagePolicy, corev1.TerminationMessageFallbackToLogsOnError; got != want {
		t.Errorf("stored terminationMessagePolicy: got %q, want %q", got, want)
	}
}

// TestLogging goes through the life of a Deployment: its template is repaired, its
// Pods are what the template says, and applying the same manifest again changes
// nothing, however it is applied.
func TestLogging(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, logs)
	deployment := create(t, c.Client, suite.Deployment.New(namespace, "main", logging())).(*appsv1.Deployment)
	template := deployment.Spec.Template
	wantLogging(t, &template.Spec)
	if got, want := template.Annotations["ad.datadoghq.com/main.logs"], `[{"source":"python"}]`; got != want {
		t.Errorf("stored annotation: got %q, want %q", got, want)
	}

	// What a controller makes of it: ReplicaSet and Pod as they stand in the template.
	set := suite.ReplicaSet.New(namespace, "main-1", template.Spec).(*appsv1.ReplicaSet)
	set.OwnerReferences = []metav1.OwnerReference{owner(deployment, suite.Deployment)}
	set.Spec.Template.Annotations = template.Annotations
	create(t, c.Client, client.Object(set))
	pod := suite.Pod.New(namespace, "main-1-x", template.Spec).(*corev1.Pod)
	pod.OwnerReferences = []metav1.OwnerReference{owner(set, suite.ReplicaSet)}
	pod.Annotations = template.Annotations
	create(t, c.Client, client.Object(pod))
	for _, spec := range []corev1.PodSpec{set.Spec.Template.Spec, pod.Spec} {
		if diff := cmp.Diff(template.Spec.Containers[0].Env, spec.Containers[0].Env); diff != "" {
			t.Errorf("env (-template +made):\n%s", diff)
		}
	}
	if diff := cmp.Diff(template.Annotations, pod.Annotations); diff != "" {
		t.Errorf("annotations (-template +pod):\n%s", diff)
	}

	// kubectl replace: the manifest is the object.
	again := suite.Deployment.New(namespace, "main", logging()).(*appsv1.Deployment)
	again.ResourceVersion = deployment.ResourceVersion
	if err := c.Client.Update(t.Context(), again); err != nil {
		t.Fatalf("replacing: %v", err)
	}
	wantUnchanged(t, deployment, again)

	// kubectl apply: what is not in the manifest stays.
	patch := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": logging().Containers}}}}
	if err := c.Client.Patch(t.Context(), again, client.RawPatch(types.StrategicMergePatchType, marshal(t, patch))); err != nil {
		t.Fatalf("applying: %v", err)
	}
	wantUnchanged(t, deployment, again)
}

// TestLoggingServerSide applies a manifest again as another field manager does, from
// which our variables are nobody's to take away.
func TestLoggingServerSide(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, logs)
	apply := func() *appsv1.Deployment {
		t.Helper()
		object := suite.Deployment.New(namespace, "main", logging())
		patch := client.RawPatch(types.ApplyPatchType, marshal(t, object))
		if err := c.Client.Patch(t.Context(), object, patch, client.FieldOwner("somebody"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		return object.(*appsv1.Deployment)
	}
	first := apply()
	wantLogging(t, &first.Spec.Template.Spec)
	wantUnchanged(t, first, apply())
}

func wantUnchanged(t *testing.T, before, after *appsv1.Deployment) {
	t.Helper()
	if before.Generation != after.Generation {
		t.Errorf("got generation %d, want %d", after.Generation, before.Generation)
	}
	if diff := cmp.Diff(before.Spec.Template, after.Spec.Template); diff != "" {
		t.Errorf("template (-before +after):\n%s", diff)
	}
}

func owner(o client.Object, kind suite.Kind) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind.Name, Name: o.GetName(), UID: o.GetUID(), Controller: ptr.To(true)}
}

// TestLoggingOfTerminationMessages holds why File is replaced: the API server fills
// it in before a webhook sees the object, so that it says nothing of the user. Who
// names a file is left alone.
func TestLoggingOfTerminationMessages(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, `{validate: {logging: {mode: Enforce, require: [terminationMessagePolicy]}}}`)
	for _, kind := range suite.Kinds() {
		err := c.Client.Create(t.Context(), kind.New(namespace, "main", suite.GoodSpec()))
		wantRefusal(t, err, kind.Path+`.containers[0].terminationMessagePolicy is "File"`)
	}

	enforced := c.Namespace(t, nil)
	c.Policy(t, enforced, logs)
	for name, test := range map[string]struct {
		set  func(*corev1.Container)
		want corev1.TerminationMessagePolicy
	}{
		"left out":          {func(*corev1.Container) {}, corev1.TerminationMessageFallbackToLogsOnError},
		"written":           {func(c *corev1.Container) { c.TerminationMessagePolicy = corev1.TerminationMessageReadFile }, corev1.TerminationMessageFallbackToLogsOnError},
		"with another file": {func(c *corev1.Container) { c.TerminationMessagePath = "/tmp/why" }, corev1.TerminationMessageReadFile},
	} {
		spec := suite.GoodSpec()
		test.set(&spec.Containers[0])
		pod := suite.Deployment.New(enforced, "main", spec)
		if err := c.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := suite.SpecOf(pod).Containers[0].TerminationMessagePolicy; got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestLoggingOfEveryKind holds that the API server takes what is added, of every
// kind, and that every collector's annotations are valid.
func TestLoggingOfEveryKind(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	for _, collector := range []string{"FluentBit", "Elastic", "Datadog"} {
		namespace := c.Namespace(t, nil)
		c.Policy(t, namespace, `{mutate: {logging: {collector: `+collector+`, env: [{name: LOG_LEVEL, value: info}],
			catalog: [{name: python, imageEnv: [PYTHON_VERSION], env: [{name: LOG_FORMAT, value: json, structured: true}]}]}}}`)
		spec := logging()
		spec.InitContainers = []corev1.Container{suite.GoodContainer("init")}
		spec.InitContainers[0].Image = harness.PythonImage
		for _, kind := range suite.Kinds() {
			object := create(t, c.Client, kind.New(namespace, "main", spec))
			got := suite.SpecOf(object).InitContainers[0].Env
			want := []corev1.EnvVar{{Name: "LOG_FORMAT", Value: "json"}, {Name: "LOG_LEVEL", Value: "info"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: env of the init container (-want +got):\n%s", kind.Name, diff)
			}
		}
	}
}

package mutation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: docker.io/example/shop:1
        ports: [{name: http, containerPort: 8080}]
        env: [{name: Z, value: "1"}, {name: A, value: $(Z)}]
`

// anotherManager is what somebody else applies to the same Deployment: fields that
// mutators leave alone, and fields that they set.
const anotherManager = `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    spec:
      containers:
      - name: shop
        resources: {requests: {cpu: 50m}}
        env: [{name: LOG_LEVEL, value: debug}]
        terminationMessagePolicy: File
        securityContext: {runAsUser: 20000}
`

// TestKubectl gives the same commands to a namespace with all mutators and to one
// without: both print the same, and the one has all that the other has.
func TestKubectl(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	without, with := c.Namespace(t, nil), c.Namespace(t, nil)
	c.Policy(t, with, everything)
	replicaSets := 1
	for _, step := range []struct {
		stdin, command string
		replicaSets    int // more than before
	}{
		{manifest, "apply --server-side --field-manager=owner -f -", 0},
		{manifest, "apply --server-side --field-manager=owner -f -", 0},
		{"", "scale deployment/shop --replicas=2", 0},
		{"", "set image deployment/shop shop=" + nextImage, 1},
		{anotherManager, "apply --server-side --field-manager=another -f -", 1},
		{anotherManager, "apply --server-side --field-manager=another -f -", 0},
		{"", "annotate deployment/shop note=x", 0},
		{"", "set env deployment/shop A-", 1},
		{"", "rollout restart deployment/shop", 1},
		{"", "rollout undo deployment/shop", 0},
	} {
		replicaSets += step.replicaSets
		args := strings.Fields(step.command)
		want, got := kubectl(t, c, without, step.stdin, args...), kubectl(t, c, with, step.stdin, args...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("kubectl %s prints (-without +with mutators):\n%s", step.command, diff)
		}
		settled(t, c, without, replicaSets)
		settled(t, c, with, replicaSets)
		plain, mutated := deployment(t, c, without), deployment(t, c, with)
		requireContained(t, "after kubectl "+step.command, withoutEnv(plain).Spec, withoutEnv(mutated).Spec)
		requireEnv(t, step.command, plain.Spec.Template.Spec.Containers[0].Env, mutated.Spec.Template.Spec.Containers[0].Env)
		if plain.Generation != mutated.Generation {
			t.Errorf("after kubectl %s: got generation %d with mutators and %d without", step.command, mutated.Generation, plain.Generation)
		}
	}
	container := deployment(t, c, with).Spec.Template.Spec.Containers[0]
	if container.SecurityContext.Capabilities == nil || !strings.Contains(container.Image, "@sha256:") {
		t.Errorf("got container %+v, want what mutators set still there", container)
	}
}

func withoutEnv(d *appsv1.Deployment) *appsv1.Deployment {
	d = d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Env = nil
	return d
}

// requireEnv requires that the variables that there are without mutators are there
// with them, in the same order.
func requireEnv(t *testing.T, command string, without, with []corev1.EnvVar) {
	t.Helper()
	var kept []corev1.EnvVar
	for _, v := range with {
		if len(kept) < len(without) && v == without[len(kept)] {
			kept = append(kept, v)
		}
	}
	if len(kept) != len(without) {
		t.Errorf("after kubectl %s: got variables %v with mutators, want those of %v in their order", command, with, without)
	}
}

// TestKubectlDebug adds a debugger to a pod with all mutators and to one without: it
// is the same but for the digest of its image, and takes nothing from its pod.
func TestKubectlDebug(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	debugged := map[bool]*corev1.Pod{}
	for _, mutators := range []bool{false, true} {
		namespace := c.Namespace(t, nil)
		if mutators {
			c.Policy(t, namespace, everything)
		}
		pod := create(t, c, suite.Pod.New(namespace, "shop", shop(shopImage)).(*corev1.Pod))
		before := pod.DeepCopy()
		for _, profile := range []string{"general", "sysadmin", "restricted"} {
			kubectl(t, c, namespace, "", "debug", "pod/shop", "--image="+toolsImage, "--target=shop", "--container=debug-"+profile, "--profile="+profile, "--", "sh")
		}
		if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before.Spec.Containers, pod.Spec.Containers); diff != "" {
			t.Errorf("containers (-before +after kubectl debug):\n%s", diff)
		}
		debugged[mutators] = pod
	}
	want := debugged[false].Spec.EphemeralContainers
	for i := range want {
		want[i].Image = c.Registry.Pinned(toolsImage)
	}
	if len(want) != 3 {
		t.Errorf("got %d debuggers, want 3", len(want))
	}
	if diff := cmp.Diff(want, debugged[true].Spec.EphemeralContainers); diff != "" {
		t.Errorf("ephemeral containers (-without +with mutators):\n%s", diff)
	}
	if diff := cmp.Diff(debugged[false].Spec.SecurityContext, debugged[true].Spec.SecurityContext); diff != "" {
		t.Errorf("security context of the pod, which debuggers take (-without +with mutators):\n%s", diff)
	}
}

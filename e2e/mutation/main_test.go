// Package mutation_test holds, on a real API server with its controllers, that all
// mutators together can be left switched on: controllers settle, kubectl behaves as
// it does without them, and other webhooks are lived with.
//
// What is set in a template is compared by controllers with what they remember. A
// mutator that is right in every unit test and wrong there makes ReplicaSets without
// end.
package mutation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// everything is the spec of a policy with all that mutators can do.
const everything = `
mutate:
  digests: {}
  probes: {livenessSources: [Annotation, Catalog, Healthcheck]}
  logging: {}
  hardening: {fields: [allowPrivilegeEscalation, capabilities, seccompProfile, runAsNonRoot, runAsUser, automountServiceAccountToken, readOnlyRootFilesystem]}
`

// The images of these tests: their USER is a name, and they have a HEALTHCHECK and
// variables that say what they are.
const (
	shopImage    = "docker.io/example/shop:1"
	nextImage    = "docker.io/example/shop:2"
	toolsImage   = "docker.io/example/tools:1"
	sidecarImage = "docker.io/example/sidecar:1"
	shopUser     = 10001
)

var (
	shared  = suite.New(harness.Options{Controllers: true})
	prepare sync.Once
	ready   bool
)

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// cluster is the cluster of this package, with its images.
func cluster(t *testing.T) *suite.Cluster {
	t.Helper()
	c := shared.Cluster(t)
	prepare.Do(func() {
		for i, name := range []string{shopImage, nextImage, sidecarImage} {
			config := harness.Config{
				User: "shop", Env: []string{"PYTHON_VERSION=3.12.4", fmt.Sprintf("RELEASE=%d", i)},
				Healthcheck: harness.Health("/bin/healthy"), ExposedPorts: map[string]struct{}{"8080/tcp": {}},
			}
			platform := harness.Platform{Config: config, Passwd: fmt.Sprintf("root:x:0:0::/:\nshop:x:%d:%d::/:\n", shopUser, shopUser)}
			arm := platform
			arm.Architecture = "arm64"
			if err := c.Registry.PushPlatforms(name, platform, arm); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Registry.PushIndex(toolsImage, harness.Config{}); err != nil {
			t.Fatal(err)
		}
		ready = true
	})
	if !ready {
		t.Fatal("the images are not there, as another test says")
	}
	return c
}

// shop is a pod spec as its author writes it.
func shop(image string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "shop", Image: image,
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		Env:   []corev1.EnvVar{{Name: "Z", Value: "1"}, {Name: "A", Value: "$(Z)"}},
	}}}
}

// wantMutated requires that every mutator has changed the shop's container.
func wantMutated(t *testing.T, c *suite.Cluster, object client.Object) {
	t.Helper()
	var missing []string
	spec := suite.SpecOf(object)
	container := spec.Containers[0]
	sc := container.SecurityContext
	fields := map[string]bool{
		"the digest":               container.Image == c.Registry.Pinned(strings.Split(container.Image, "@")[0]),
		"readinessProbe":           container.ReadinessProbe != nil,
		"PYTHONUNBUFFERED":         len(container.Env) > 2 && container.Env[0].Name == "Z" && container.Env[1].Name == "A",
		"terminationMessagePolicy": container.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError,
		"runAsUser":                sc != nil && sc.RunAsUser != nil && *sc.RunAsUser == shopUser,
	}
	// The API server mounts the token into a Pod before it asks any webhook, and does
	// not take it back: a Pod with the mount that says it has none would be neither.
	if _, isPod := object.(*corev1.Pod); isPod {
		fields["the token that it was given"] = spec.AutomountServiceAccountToken == nil && mountsToken(spec)
	} else {
		fields["automountServiceAccountToken"] = spec.AutomountServiceAccountToken != nil && !*spec.AutomountServiceAccountToken
	}
	for field, is := range fields {
		if !is {
			missing = append(missing, field)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%T %s lacks %s: %+v", object, object.GetName(), strings.Join(missing, ", "), container)
	}
}

// mountsToken reports whether every container has the token of the service account.
func mountsToken(spec *corev1.PodSpec) bool {
	for _, container := range spec.Containers {
		if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
		}) {
			return false
		}
	}
	return true
}

func create[T client.Object](t *testing.T, c *suite.Cluster, object T) T {
	t.Helper()
	if err := c.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
	return object
}

func deployment(t *testing.T, c *suite.Cluster, namespace string) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "shop"}, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func list[T client.ObjectList](t *testing.T, c *suite.Cluster, namespace string, objects T) T {
	t.Helper()
	if err := c.Client.List(t.Context(), objects, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return objects
}

// settled waits until the Deployment's controller has seen it and has made so many
// ReplicaSets, with pods of the newest.
func settled(t *testing.T, c *suite.Cluster, namespace string, replicaSets int) {
	t.Helper()
	suite.Eventually(t, 6*suite.Soon, func() error {
		d := deployment(t, c, namespace)
		sets := list(t, c, namespace, &appsv1.ReplicaSetList{})
		if d.Status.ObservedGeneration != d.Generation || len(sets.Items) != replicaSets {
			return fmt.Errorf("got generation %d of %d seen and %d ReplicaSets, want %d", d.Status.ObservedGeneration, d.Generation, len(sets.Items), replicaSets)
		}
		if d.Status.UpdatedReplicas == 0 {
			return fmt.Errorf("got no pod of the newest ReplicaSet, want one")
		}
		return nil
	})
}

// kubectl runs kubectl in a namespace and returns what it prints.
func kubectl(t *testing.T, c *suite.Cluster, namespace, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Program("kubectl"), append([]string{
		"--kubeconfig=" + c.Kubeconfig, "--cache-dir=" + filepath.Join(t.TempDir(), "cache"), "--namespace=" + namespace,
	}, args...)...)
	var output bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &output, &output
	if err := command.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output.String())
	}
	return output.String()
}

// requireContained requires that all of a is in b at the same place, but for what
// mutators may replace.
func requireContained(t *testing.T, what string, a, b any) {
	t.Helper()
	if missing := firstMissing("", generic(t, a), generic(t, b)); missing != "" {
		t.Errorf("%s: %s", what, missing)
	}
}

func generic(t *testing.T, object any) any {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func firstMissing(path string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		b, _ := b.(map[string]any)
		for key, value := range a {
			if missing := firstMissing(path+"."+key, value, b[key]); missing != "" {
				return missing
			}
		}
		return ""
	case []any:
		b, _ := b.([]any)
		if len(b) < len(a) {
			return fmt.Sprintf("%s has %d elements with mutators and %d without", path, len(b), len(a))
		}
		for i, value := range a {
			if missing := firstMissing(fmt.Sprintf("%s[%d]", path, i), value, b[i]); missing != "" {
				return missing
			}
		}
		return ""
	}
	text, _ := b.(string)
	switch {
	case reflect.DeepEqual(a, b):
	case strings.HasSuffix(path, ".image") && strings.HasPrefix(text, fmt.Sprint(a)+"@sha256:"):
	case strings.HasSuffix(path, ".kubectl.kubernetes.io/restartedAt") && text != "": // a second later
	case strings.HasSuffix(path, ".terminationMessagePolicy") && text == "FallbackToLogsOnError":
	default:
		return fmt.Sprintf("%s is %v with mutators and %v without", path, b, a)
	}
	return ""
}

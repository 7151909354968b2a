//go:build kind

package kind

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const (
	base             = "manifests/base"
	certManager      = "manifests/overlays/cert-manager"
	highAvailability = "manifests/overlays/high-availability"
)

// installation is a kustomization of ours, changed as an admin changes it: by a
// kustomization around it.
type installation struct {
	// root is the folder of another revision. Empty: the one under test.
	root string
	// manifests is the folder, from that of the module. Empty: base.
	manifests string
	// components are folders of manifests/components.
	components []string
	// tag of the image. Empty: the one in the manifests.
	tag string
	// patches are added to the kustomization, each in YAML.
	patches []string
}

// name tells installations apart that have other objects.
func (i installation) name() string {
	return strings.Join(append([]string{i.manifests}, i.components...), "+")
}

// standard is what tests find unless they ask for something else.
var standard = installation{}

// install installs Portcullis, or changes what is installed, and returns once all
// policies of testdata/policies.yaml are in force on all replicas.
func (c *cluster) install(t testing.TB, i installation) {
	t.Helper()
	if i.manifests == "" {
		i.manifests = base
	}
	dir := c.write(t, i)
	if c.installedManifests(t) != i.name() {
		c.uninstall(t)
	}
	c.kubectl(t, "apply", "--kustomize", dir)
	c.rollout(t)
	c.applyPolicies(t, "testdata/policies.yaml")
	c.waitForPolicies(t)
}

// standing returns the cluster with the standard installation, for a test that
// leaves it as it is and runs beside others. Such tests begin when all others have
// ended.
func standing(t *testing.T) *cluster {
	t.Helper()
	t.Parallel()
	c := up(t)
	c.calm.Lock()
	defer c.calm.Unlock()
	if !c.installed {
		c.install(t, standard)
		c.installed = true
	}
	return c
}

// applyPolicies applies the policies in a file. Where Portcullis has just been
// installed, nodes may hear of the first endpoints of its Service a moment after
// `kubectl rollout status` says that they are there.
func (c *cluster) applyPolicies(t testing.TB, file string) {
	t.Helper()
	suite.Eventually(t, 30*time.Second, func() error {
		_, err := c.tryKubectl(t.Context(), "apply", "--filename", file)
		return err
	})
}

// installedAnnotation of our namespace says which manifests are installed.
const installedAnnotation = "e2e/manifests"

// installedManifests are those that install has installed. Empty: none or others.
func (c *cluster) installedManifests(t testing.TB) string {
	t.Helper()
	namespace, err := c.clientset.CoreV1().Namespaces().Get(t.Context(), harness.SystemNamespace, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return namespace.Annotations[installedAnnotation]
}

// uninstall removes Portcullis, however it was installed.
func (c *cluster) uninstall(t testing.TB) {
	t.Helper()
	c.kubectl(t, "delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,"+
		"validatingadmissionpolicybindings,clusterroles,clusterrolebindings,priorityclasses", "--selector", "app.kubernetes.io/name="+harness.Name)
	// A replica that is told to end goes on answering for ten seconds, for nobody here.
	c.kubectl(t, "--namespace", harness.SystemNamespace, "delete", "deployments,replicasets,pods", "--all", "--force", "--grace-period=0")
	c.kubectl(t, "delete", "namespace", harness.SystemNamespace, "--ignore-not-found")
	var ours []string
	for _, crd := range strings.Fields(c.kubectl(t, "get", "customresourcedefinitions", "--output", "name")) {
		if strings.HasSuffix(crd, ".portcullis.dev") {
			ours = append(ours, crd)
		}
	}
	if len(ours) > 0 {
		c.kubectl(t, append([]string{"delete"}, ours...)...)
	}
}

// write makes the kustomization and returns its folder.
func (c *cluster) write(t testing.TB, i installation) string {
	t.Helper()
	dir := filepath.Join(c.dir, "installation")
	from := func(folder string) string {
		relative, err := filepath.Rel(dir, filepath.Join(cmp.Or(i.root, c.root), folder))
		if err != nil {
			t.Fatal(err)
		}
		return relative
	}
	var components []string
	for _, component := range i.components {
		components = append(components, from("manifests/components/"+component))
	}
	kustomization := map[string]any{
		"resources":  []string{from(i.manifests), "registries.yaml"},
		"components": components,
		"patches":    targeted(slices.Concat(registriesPatches, []string{installedPatch(i.name())}, i.patches)),
	}
	if i.tag != "" {
		kustomization["images"] = []map[string]string{{"name": "ghcr.io/portcullis-dev/portcullis", "newTag": i.tag}}
	}
	text, err := yaml.Marshal(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	registries, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"name": "portcullis-registries", "namespace": harness.SystemNamespace},
		"data":     map[string]string{"registries.yaml": c.registry.config()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"kustomization.yaml": text, "registries.yaml": registries} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// registriesPatches mount the registries of the ConfigMap and name them.
var registriesPatches = []string{`
apiVersion: apps/v1
kind: Deployment
metadata: {name: portcullis, namespace: portcullis-system}
spec:
  template:
    spec:
      containers:
      - name: portcullis
        volumeMounts:
        - {name: registries, mountPath: /etc/portcullis}
      volumes:
      - {name: registries, configMap: {name: portcullis-registries}}
`, argPatch("--registries=/etc/portcullis/registries.yaml")}

func installedPatch(manifests string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, annotations: {%s: %s}}}`, harness.SystemNamespace, installedAnnotation, manifests)
}

// argPatch adds an argument of the container.
func argPatch(arg string) string {
	return fmt.Sprintf("- {op: add, path: /spec/template/spec/containers/0/args/-, value: %q}", arg)
}

// targeted gives patches that are lists of operations our Deployment as their
// target; the others name theirs.
func targeted(patches []string) []map[string]any {
	var all []map[string]any
	for _, patch := range patches {
		entry := map[string]any{"patch": patch}
		if strings.HasPrefix(patch, "- ") {
			entry["target"] = map[string]string{"kind": "Deployment", "name": harness.Name}
		}
		all = append(all, entry)
	}
	return all
}

// rollout waits until our Deployment is as it should be.
func (c *cluster) rollout(t testing.TB) {
	t.Helper()
	c.kubectl(t, "--namespace", harness.SystemNamespace, "rollout", "status", "deployment/"+harness.Name, "--timeout", "180s")
}

// replicas are our pods that are ready and stay.
func (c *cluster) replicas(ctx context.Context) ([]corev1.Pod, error) {
	list, err := c.clientset.CoreV1().Pods(harness.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + harness.Name})
	if err != nil {
		return nil, err
	}
	var ready []corev1.Pod
	for _, pod := range list.Items {
		if isReady(&pod) && pod.DeletionTimestamp == nil {
			ready = append(ready, pod)
		}
	}
	return ready, nil
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// waitForPolicies waits until every replica has as many policies in force as there
// are. They do not change while tests run.
func (c *cluster) waitForPolicies(t testing.TB) {
	t.Helper()
	want := len(strings.Fields(c.kubectl(t, "get", "podpolicies", "--output", "name")))
	suite.Eventually(t, time.Minute, func() error {
		replicas, err := c.replicas(t.Context())
		if err != nil || len(replicas) == 0 {
			return fmt.Errorf("listing ready replicas: %d, %v", len(replicas), err)
		}
		for _, replica := range replicas {
			got, err := c.metric(t.Context(), replica.Name, "portcullis_policies")
			if err != nil {
				return err
			}
			if got != float64(want) {
				return fmt.Errorf("%s has %v policies in force, want %d", replica.Name, got, want)
			}
		}
		return nil
	})
}

// metric reads a metric of one replica.
func (c *cluster) metric(ctx context.Context, replica, name string) (float64, error) {
	text, err := c.clientset.CoreV1().Pods(harness.SystemNamespace).ProxyGet("http", replica, "8080", "/metrics", nil).DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the metrics of %s: %w", replica, err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("reading the metrics of %s: there is no %s", replica, name)
}

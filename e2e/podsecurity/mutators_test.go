package podsecurity_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// allMutators is the spec of a policy that changes whatever can be changed, and
// then judges it by the namespace's labels.
const allMutators = `
match: {namespaces: ["mutated-*"]}
mutate:
  digests: {}
  probes: {}
  logging: {}
  hardening: {fields: [allowPrivilegeEscalation, capabilities, seccompProfile, runAsNonRoot, runAsUser, automountServiceAccountToken, readOnlyRootFilesystem]}
validate: {podSecurity: {}}`

// TestUpstreamSuiteMutated creates every pod of upstream's fixtures that passes its
// level and version, with all mutators on: it is still admitted, as a Pod and as a
// Deployment. The API server judges the patch by its own rules too. Versions whose
// rules are those of the one before are left out, as upstream does.
func TestUpstreamSuiteMutated(t *testing.T) {
	c := cluster.Cluster(t)
	for _, image := range []string{"registry.k8s.io/pause:latest", "test:latest"} {
		if err := c.Registry.PushIndex(image, harness.Config{User: "65535:65535", Env: []string{"PYTHON_VERSION=3.12.4"}}); err != nil {
			t.Fatal(err)
		}
	}
	c.CreatePolicy(t, suite.NewPolicy(t, "mutated", allMutators), c.Server)
	admin, _ := c.NewClient(t, nil) // what is deprecated in a fixture is of no interest
	fixtures := upstreamFixtures(t)
	var hardened atomic.Int64
	for _, level := range []string{"baseline", "restricted"} {
		for _, version := range suite.VersionsWithOwnRules() {
			namespace := "mutated-" + level + "-" + strings.ReplaceAll(version, ".", "-")
			c.NamedNamespace(t, namespace, map[string]string{api.EnforceLevelLabel: level, api.EnforceVersionLabel: version})
			var group errgroup.Group
			group.SetLimit(4)
			for _, file := range files(t, filepath.Join(fixtures, level, version, "pass")) {
				group.Go(func() error {
					changed, err := tryMutated(t, admin, namespace, file)
					hardened.Add(changed)
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Errorf("%s %s: %v", level, version, err)
			}
		}
	}
	if got := hardened.Load(); got < 200 {
		t.Errorf("got %d containers that were hardened, want enough to say something", got)
	}
}

// tryMutated creates the pod in a file, and a Deployment of it, dry. It returns how
// many containers have got a field that the file does not give them.
func tryMutated(t *testing.T, c client.Client, namespace, file string) (changed int64, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return 0, fmt.Errorf("reading %s: %w", file, err)
	}
	deployment := suite.Deployment.New(namespace, "test", pod.Spec)
	suite.TemplateMetaOf(deployment).Annotations = pod.Annotations
	asPod := suite.Pod.New(namespace, "test", pod.Spec)
	asPod.SetAnnotations(pod.Annotations)
	for _, object := range []client.Object{asPod, deployment} {
		if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
			return 0, fmt.Errorf("%s as %T: got %w, want no error", filepath.Base(file), object, err)
		}
		for i, container := range suite.SpecOf(object).Containers {
			if !strings.Contains(container.Image, "@sha256:") {
				return 0, fmt.Errorf("%s as %T: got image %s, want a digest", filepath.Base(file), object, container.Image)
			}
			before := pod.Spec.Containers[i].SecurityContext
			if now := container.SecurityContext; now != nil && now.SeccompProfile != nil && (before == nil || before.SeccompProfile == nil) {
				changed++
			}
		}
	}
	return changed, nil
}

package podsecurity_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestUpstreamSuiteTemplatesDenied wraps every pod of upstream's fixtures, of
// every level and version, into a Deployment: with templates denied, a bad one is
// refused by the validating webhook already, and a good one is not.
func TestUpstreamSuiteTemplatesDenied(t *testing.T) {
	c := cluster.Cluster(t)
	policy := suite.NewPolicy(t, "templates", `
match: {namespaces: ["templates-*"]}
validate: {podSecurity: {templates: Deny}}`)
	c.CreatePolicy(t, policy, c.Server)
	fixtures := upstreamFixtures(t)
	folders, err := filepath.Glob(filepath.Join(fixtures, "*", "v1.*"))
	if err != nil || len(folders) < 2*30 {
		t.Fatalf("got %d folders of levels and versions in %s, want 60 and more (%v)", len(folders), fixtures, err)
	}
	for _, folder := range folders {
		level, version := filepath.Base(filepath.Dir(folder)), filepath.Base(folder)
		t.Run(level+"_"+version, func(t *testing.T) {
			namespace := "templates-" + level + "-" + strings.ReplaceAll(version, ".", "-")
			c.NamedNamespace(t, namespace, map[string]string{api.EnforceLevelLabel: level, api.EnforceVersionLabel: version})
			var group errgroup.Group
			group.SetLimit(4)
			for _, expectation := range []string{"pass", "fail"} {
				for _, file := range files(t, filepath.Join(folder, expectation)) {
					group.Go(func() error { return tryTemplate(t, c, namespace, file, expectation == "pass") })
				}
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// upstreamFixtures is the folder of upstream's pods in the module cache.
func upstreamFixtures(t *testing.T) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatalf("finding the module with the fixtures: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(output)), "test", "testdata")
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("got no files in %s (%v)", folder, err)
	}
	return found
}

// tryTemplate creates a Deployment of the pod in a file, dry.
func tryTemplate(t *testing.T, c *suite.Cluster, namespace, file string, good bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	deployment := suite.Deployment.New(namespace, "test", pod.Spec)
	suite.TemplateMetaOf(deployment).Annotations = pod.Annotations
	err = c.Client.Create(t.Context(), deployment, client.DryRunAll)
	name := filepath.Base(file)
	switch {
	case good && err != nil:
		return fmt.Errorf("%s: got %w, want no error", name, err)
	case good || apierrors.IsForbidden(err) && strings.Contains(err.Error(), "validate.portcullis.dev"):
		return nil
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "`hostUsers` must be false to use `Unmasked`"):
		return nil // what the procMount check forbids since v1.35 the API server forbids too, and first
	case err != nil:
		return fmt.Errorf("%s: got %w, want a refusal by validate.portcullis.dev", name, err)
	}
	return fmt.Errorf("%s: was admitted, want a refusal", name)
}

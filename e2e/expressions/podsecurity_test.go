package expressions_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestUpstreamSuite replays every pod of upstream's fixtures, of every level and
// version, as a Pod and as a Deployment against the exported policies alone: the
// API server's own PodSecurity plugin is off, and no webhook is registered. Versions
// whose rules are those of the one before are left out, as upstream does.
func TestUpstreamSuite(t *testing.T) {
	c := cluster.Cluster(t)
	output, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatalf("finding the module with the fixtures: %v", err)
	}
	folders, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(output)), "test", "testdata", "*", "v1.*"))
	own := suite.VersionsWithOwnRules()
	folders = slices.DeleteFunc(folders, func(folder string) bool { return !slices.Contains(own, filepath.Base(folder)) })
	if err != nil || len(own) < 10 || len(folders) != 2*len(own) {
		t.Fatalf("got %d folders of levels and versions, want two for each of %d versions (%v)", len(folders), len(own), err)
	}
	var list []*unstructured.Unstructured
	namespaces := map[string]string{}
	for _, folder := range folders {
		level, version := filepath.Base(filepath.Dir(folder)), filepath.Base(folder)
		namespace := "exported-" + level + "-" + strings.ReplaceAll(version, ".", "-")
		namespaces[folder] = namespace
		list = append(list, suite.NewPolicy(t, namespace, fmt.Sprintf(`
match: {namespaces: [%s]}
validate: {podSecurity: {level: %s, version: %s}}`, namespace, level, version)))
		c.NamedNamespace(t, namespace, nil)
	}
	objects, _ := export(t, c, list...)
	if want := 2 * len(folders); len(objects) != want {
		t.Fatalf("got %d exported objects, want %d", len(objects), want)
	}
	enforce(t, c, objects)
	var refused, admitted atomic.Int64
	for _, folder := range folders {
		namespace := namespaces[folder]
		waitForRefusal(t, func() error { return c.Client.Create(t.Context(), privileged(namespace), client.DryRunAll) })
		t.Run(filepath.Base(filepath.Dir(folder))+"_"+filepath.Base(folder), func(t *testing.T) {
			var group errgroup.Group
			group.SetLimit(4)
			for _, expectation := range []string{"pass", "fail"} {
				files, err := filepath.Glob(filepath.Join(folder, expectation, "*.yaml"))
				if err != nil || len(files) == 0 {
					t.Fatalf("got no files in %s/%s (%v)", folder, expectation, err)
				}
				for _, file := range files {
					group.Go(func() error {
						if expectation == "pass" {
							admitted.Add(1)
						} else {
							refused.Add(1)
						}
						return try(t, c, namespace, file, expectation == "pass")
					})
				}
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Logf("%d pods are admitted and %d refused, each as a Pod and as a Deployment", admitted.Load(), refused.Load())
}

func privileged(namespace string) client.Object {
	spec := suite.GoodSpec()
	spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	return suite.Pod.New(namespace, "privileged", spec)
}

// names reports whether a refusal is by a check, or by the one that comes before it
// in the answer for the fixtures of the check: one that takes its place at level
// restricted, or one that they fail as well.
func names(err error, check string) bool {
	before := map[string]string{
		"windowshostprocess": "hostnamespaces", "privileged": "allowprivilegeescalation", "capabilities_baseline": "capabilities_restricted", "hostpathvolumes": "restrictedvolumes",
		"seccompprofile_baseline": "seccompprofile_restricted", "procmount": "procmount_restricted",
	}
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "podsecurity/"+check+":") || before[check] != "" && strings.Contains(text, "podsecurity/"+before[check]+":")
}

// try creates the pod in a file, and a Deployment of it, dry.
func try(t *testing.T, c *suite.Cluster, namespace, file string, good bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	asPod, deployment := suite.Pod.New(namespace, "test", pod.Spec), suite.Deployment.New(namespace, "test", pod.Spec)
	asPod.SetAnnotations(pod.Annotations)
	suite.TemplateMetaOf(deployment).Annotations = pod.Annotations
	// hostports0.yaml is a case of hostPorts.
	check := strings.TrimRight(strings.TrimSuffix(filepath.Base(file), ".yaml"), "0123456789")
	for _, object := range []client.Object{asPod, deployment} {
		err := c.Client.Create(t.Context(), object, client.DryRunAll)
		switch {
		case good && err != nil:
			return fmt.Errorf("%s as %T: got %w, want no error", filepath.Base(file), object, err)
		case good || apierrors.IsForbidden(err) && names(err, check):
		case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "`hostUsers` must be false to use `Unmasked`"):
			// What the procMount check forbids since v1.35 the API server forbids too, and first.
		default:
			return fmt.Errorf("%s as %T: got %v, want a refusal by %s", filepath.Base(file), object, err, check)
		}
	}
	return nil
}

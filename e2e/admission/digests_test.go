package admission_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestIndexDigest holds that a tag of several platforms is pinned to all of them,
// however its name is written.
func TestIndexDigest(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinned)
	spec := suite.GoodSpec()
	spec.Containers = nil
	names := []string{harness.PythonImage, "library/" + harness.PythonImage, "docker.io/library/" + harness.PythonImage}
	for _, name := range names {
		container := suite.GoodContainer("c" + strings.Repeat("x", len(spec.Containers)))
		container.Image = name
		spec.Containers = append(spec.Containers, container)
	}
	pod := create(t, c.Client, suite.Pod.New(namespace, "main", spec))
	for i, name := range names {
		wantImage(t, suite.SpecOf(pod).Containers[i].Image, c.Registry.Pinned(name))
	}

	// What is pinned already is nobody's to change, right or wrong.
	pinnedBefore := harness.NginxImage + "@sha256:" + strings.Repeat("0", 64)
	spec = suite.GoodSpec()
	spec.Containers[0].Image = pinnedBefore
	wantImage(t, suite.SpecOf(create(t, c.Client, suite.Pod.New(namespace, "pinned", spec))).Containers[0].Image, pinnedBefore)
}

// TestStickyDigest holds that applying the same tag again keeps what runs though
// the tag has moved, until somebody asks for what it stands for now.
func TestStickyDigest(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinned)
	image := c.Registry.Host() + "/sticky/" + namespace + ":1"
	push := func(user string) string {
		t.Helper()
		if err := c.Registry.Push(image, harness.Config{User: user}); err != nil {
			t.Fatal(err)
		}
		return c.Registry.Pinned(image)
	}
	first := push("1000")
	spec := suite.GoodSpec()
	spec.Containers[0].Image = image
	deployment := create(t, c.Client, suite.Deployment.New(namespace, "main", spec))
	wantImage(t, suite.SpecOf(deployment).Containers[0].Image, first)

	second := push("2000")
	suite.Eventually(t, suite.Soon, func() error { // the first is remembered for a second
		fresh := suite.Deployment.New(namespace, "fresh", spec)
		if err := c.Client.Create(t.Context(), fresh, client.DryRunAll); err != nil {
			return err
		}
		if got := suite.SpecOf(fresh).Containers[0].Image; got != second {
			return fmt.Errorf("a new Deployment: got image %q, want %q", got, second)
		}
		return nil
	})
	apply := func(change func(), want string) {
		t.Helper()
		change()
		suite.SpecOf(deployment).Containers[0].Image = image // as in the file that is applied
		if err := c.Client.Update(t.Context(), deployment); err != nil {
			t.Fatal(err)
		}
		wantImage(t, suite.SpecOf(deployment).Containers[0].Image, want)
	}
	apply(func() {}, first)
	apply(func() { suite.SpecOf(deployment).Containers[0].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "1"}} }, first)
	restart := map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
	apply(func() { suite.TemplateMetaOf(deployment).Annotations = restart }, second)
}

// TestJobAppliedAgain holds that the manifest of a Job that exists can be applied
// again: its template is immutable, so that the tag has to become the same digest.
func TestJobAppliedAgain(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinned)
	spec := suite.GoodSpec()
	spec.Containers[0].Image = harness.NginxImage
	job := create(t, c.Client, suite.Job.New(namespace, "main", spec))
	wantImage(t, suite.SpecOf(job).Containers[0].Image, c.Registry.Pinned(harness.NginxImage))
	suite.SpecOf(job).Containers[0].Image = harness.NginxImage
	if err := c.Client.Update(t.Context(), job); err != nil {
		t.Fatalf("applying the job again: %v", err)
	}
	wantImage(t, suite.SpecOf(job).Containers[0].Image, c.Registry.Pinned(harness.NginxImage))
}

// TestRegistryError holds that without an answer of the registry the policy
// decides, and that a workload which is let through is stored as it came.
func TestRegistryError(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	for _, test := range []struct {
		onError, warning string
		refused          bool
	}{
		{onError: "Deny", refused: true},
		{onError: "Warn", warning: "spec.containers[0].image is \"" + unreachable + "\""},
		{onError: "Allow"},
	} {
		t.Run(test.onError, func(t *testing.T) {
			namespace := c.Namespace(t, nil)
			c.Policy(t, namespace, "{onRegistryError: "+test.onError+", mutate: {digests: {}}}")
			admin, warnings := c.NewClient(t, nil)
			spec := suite.GoodSpec()
			spec.Containers[0].Image = unreachable
			pod := suite.Pod.New(namespace, "main", spec)
			err := admin.Create(t.Context(), pod)
			if test.refused {
				wantRefusal(t, err, "spec.containers[0].image", unreachable)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantImage(t, suite.SpecOf(pod).Containers[0].Image, unreachable)
			got := strings.Join(warnings.Take(), "\n")
			if !strings.Contains(got, test.warning) || test.warning == "" && got != "" {
				t.Errorf("got warnings %q, want %q", got, test.warning)
			}
		})
	}
}

// TestModes holds that Warn and Audit store a workload as it came: the user is
// told in the one case, and in both the API server's audit log.
func TestModes(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	for _, mode := range []string{"Warn", "Audit"} {
		t.Run(mode, func(t *testing.T) {
			namespace := c.Namespace(t, nil)
			c.Policy(t, namespace, "{mode: "+mode+", mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}")
			admin, warnings := c.NewClient(t, nil)
			pod := create(t, admin, suite.Pod.New(namespace, "bad", badSpec()))
			wantImage(t, suite.SpecOf(pod).Containers[0].Image, harness.NginxImage)
			got := strings.Join(warnings.Take(), "\n")
			for _, part := range []string{"spec.containers[0].securityContext.privileged is true", "spec.containers[0].image"} {
				if told := strings.Contains(got, part); told != (mode == "Warn") {
					t.Errorf("got warnings %q, which name %q: %t", got, part, told)
				}
			}
			response := suite.Review(t, c.Server, "/validate", suite.Request{
				Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: marshal(t, suite.Pod.New(namespace, "bad", badSpec())),
			})
			if got, want := response.AuditAnnotations["findings"], mode+": for-"+namespace+": podSecurity/privileged"; !strings.Contains(got, want) {
				t.Errorf("got the audit annotation %q, want one with %q", got, want)
			}
		})
	}
}

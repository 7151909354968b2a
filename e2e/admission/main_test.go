// Package admission_test sends workloads through a real API server and looks at
// what is refused and what is stored. The numbers T01 to T27 are those of the
// threats that a test is about.
package admission_test

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// Policies of these tests.
const (
	baseline      = `{validate: {podSecurity: {level: baseline}}}`
	pinned        = `{mutate: {digests: {}}}`
	pinnedAndSafe = `{mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}`
)

// unreachable is an image of a registry that nobody listens for.
const unreachable = "127.0.0.1:1/web:1"

// badSpec is a pod spec with a privileged container.
func badSpec() corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.Containers[0] = badContainer("main")
	return spec
}

func badContainer(name string) corev1.Container {
	c := suite.GoodContainer(name)
	c.SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	return c
}

// create creates an object and requires that it is admitted.
func create[T client.Object](t *testing.T, c client.Client, object T) T {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
	return object
}

// wantRefusal requires that a webhook of ours has refused, naming all parts.
func wantRefusal(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want a refusal that names %q", parts)
	}
	for _, part := range append(parts, ".portcullis.dev\" denied the request") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want a refusal that names %q", err, part)
		}
	}
}

// wantImage requires the image that the API server has stored.
func wantImage(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("stored image: got %q, want %q", got, want)
	}
}

// Package suite is what the tests on a real API server share: one cluster for a
// test package, namespaces, policies that are in force, the nine kinds.
//
// Without it each suite would wait for policies in its own way, and the one that
// waits too little would pass because nothing was in force yet.
package suite

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// Suite is the cluster of one test package. It starts with the first test that
// asks for it: `go test` notes the files and variables that tests look at, to know
// whether an earlier result still holds, and does not see what TestMain does.
type Suite struct {
	start func() (*harness.Cluster, error)
	used  atomic.Bool
	names atomic.Int64
}

// New returns the suite of a package.
func New(o harness.Options) *Suite {
	return &Suite{start: sync.OnceValues(func() (*harness.Cluster, error) {
		return harness.Up(context.Background(), o)
	})}
}

// Run runs the tests of a package and then stops its cluster. It is for TestMain.
func (s *Suite) Run(m *testing.M) int {
	code := m.Run()
	if !s.used.Load() {
		return code
	}
	c, err := s.start()
	if err != nil {
		return code
	}
	if code != 0 && c.Server != nil {
		fmt.Fprintf(os.Stderr, "end of the log of portcullis serve:\n%s", tail(c.Server.Log(), 100))
	}
	if err := c.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the cluster:", err)
		return max(code, 1)
	}
	return code
}

// StopAfter ends a server with the test, which it has to do without an error. Of a
// test that failed it shows how the log ends: the whole of it would bury the failure.
func StopAfter(t testing.TB, s *harness.Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stopping portcullis serve: %v", err)
		}
		if t.Failed() {
			t.Logf("end of the log of portcullis serve:\n%s", tail(s.Log(), 30))
		}
	})
}

func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// Cluster is the suite's cluster, with the shorthands of tests.
type Cluster struct {
	*harness.Cluster
	names *atomic.Int64
}

// Cluster starts the cluster, once. Without the programs of a control plane the
// test fails; it is never skipped.
func (s *Suite) Cluster(t testing.TB) *Cluster {
	t.Helper()
	s.used.Store(true)
	c, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{Cluster: c, names: &s.names}
}

// Namespace creates a namespace with a name of its own and the service account
// that every pod needs.
func (c *Cluster) Namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("e2e-%d", c.names.Add(1))
	c.NamedNamespace(t, name, labels)
	return name
}

// NamedNamespace creates a namespace by name.
func (c *Cluster) NamedNamespace(t testing.TB, name string, labels map[string]string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if err := c.Client.Create(t.Context(), namespace); err != nil {
		t.Fatalf("creating namespace %s: %v", name, err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}
	if err := c.Client.Create(t.Context(), account); client.IgnoreAlreadyExists(err) != nil { // the controllers make it too
		t.Fatalf("creating the service account of namespace %s: %v", name, err)
	}
}

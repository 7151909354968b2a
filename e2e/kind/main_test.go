//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

var (
	// shared is the cluster of the run. The first test that asks for it creates it.
	shared = sync.OnceValues(func() (*cluster, error) { return create(context.Background()) })
	used   atomic.Bool
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// runTests runs the tests and then deletes the cluster. Of a run that failed it
// keeps the logs.
func runTests(m *testing.M) int {
	log.SetLogger(logr.Discard()) // controller-runtime complains of none after half a minute
	code := m.Run()
	if !used.Load() {
		return code
	}
	c, err := shared()
	if err != nil {
		return max(code, 1)
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, c.exportLogs())
	}
	if c.keep {
		fmt.Fprintf(os.Stderr, "keeping the cluster, since %s is set: export KUBECONFIG=%s\n", keepVariable, c.kubeconfig)
		return code
	}
	if err := c.delete(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// up returns the cluster. Without one the test fails.
func up(t testing.TB) *cluster {
	t.Helper()
	used.Store(true)
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

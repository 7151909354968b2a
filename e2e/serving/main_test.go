// Package serving_test is about how `portcullis serve` lives beside an API server:
// certificates, deadlines, draining, what is not a review, and policies that
// change. Servers here are not registered, except by the test that is about it.
package serving_test

import (
	"os"
	"testing"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{Unregistered: true})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// serve starts a server for one test.
func serve(t *testing.T, c *suite.Cluster, o harness.ServeOptions) *harness.Server {
	t.Helper()
	s, err := c.Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	suite.StopAfter(t, s)
	return s
}

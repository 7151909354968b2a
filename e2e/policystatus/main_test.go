// Package policystatus_test is about what the status of a PodPolicy says, who writes
// it and when. It has an API server of its own, since all replicas that share one
// take part in the election. No webhook is registered: a policy that is invalid
// gets in.
package policystatus_test

import (
	"os"
	"testing"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{Unregistered: true})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// serve starts a replica. It ends with the test, if not before.
func serve(t *testing.T, c *suite.Cluster) *harness.Server {
	t.Helper()
	s, err := c.Serve(t.Context(), harness.ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	suite.StopAfter(t, s)
	return s
}

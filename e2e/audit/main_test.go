// Package audit_test is about `portcullis audit` and the scans of `portcullis serve`
// on a real API server with its controllers. The webhook is not registered, so that
// what a policy would refuse can run.
package audit_test

import (
	"os"
	"testing"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{Controllers: true, Unregistered: true})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

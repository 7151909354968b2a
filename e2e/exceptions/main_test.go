// Package exceptions_test is about PolicyExceptions on a real API server with the
// controllers of Kubernetes: what is refused of them, and which Pods they cover.
// How fast they are in force and out of it is in e2e/serving.
package exceptions_test

import (
	"os"
	"testing"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{Controllers: true})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

const baseline = `{validate: {podSecurity: {level: baseline}}}`

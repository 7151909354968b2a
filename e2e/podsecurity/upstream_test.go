// Package podsecurity_test replays upstream's own proofs of the Pod Security
// Standards against a real API server that Portcullis guards.
package podsecurity_test

import (
	"os"
	"testing"

	podsecuritytest "k8s.io/pod-security-admission/test"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// TestUpstreamSuite runs the suite that Kubernetes runs against its own plugin:
// every level in every version whose rules differ, as Pods and as Deployments.
// Nothing is left out for features: where the server lacks one, a pod that uses
// it would be admitted, and the test would fail.
func TestUpstreamSuite(t *testing.T) {
	c := cluster.Cluster(t)
	policy := suite.NewPolicy(t, "upstream", `
match: {namespaces: ["podsecurity-*"]}
validate: {podSecurity: {templates: Warn}}`)
	c.CreatePolicy(t, policy, c.Server)
	podsecuritytest.Run(t, podsecuritytest.Options{ClientConfig: c.Config})
}

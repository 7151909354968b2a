package expressions_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestCost stays within the API server's limits of cost for a pod that is larger
// than any that runs: what exceeds them is refused, and with it every such pod.
func TestCost(t *testing.T) {
	c := cluster.Cluster(t)
	c.NamedNamespace(t, "cost", nil)
	var allow []string
	for i := range 100 {
		allow = append(allow, fmt.Sprintf(`"registry-%d.example.com/team-*/**"`, i))
	}
	objects, _ := export(t, c, suite.NewPolicy(t, "cost", `
match: {namespaces: [cost]}
validate:
  podSecurity: {level: restricted, exemptions: [{checks: [hostPorts], images: [`+strings.Join(allow[:50], ",")+`]}]}
  digests: {forbidTags: [latest, edge]}
  registries: {allow: [`+strings.Join(allow, ",")+`], deny: ["registry-1.example.com/team-x/**"]}`))
	enforce(t, c, objects)
	waitForRefusal(t, func() error { return c.Client.Create(t.Context(), privileged("cost"), client.DryRunAll) })
	waitForRefusal(t, func() error {
		return c.Client.Create(t.Context(), withSpec("cost", func(*corev1.PodSpec) {}), client.DryRunAll)
	})
	for _, containers := range []int{100, 200} {
		large := withSpec("cost", func(s *corev1.PodSpec) {
			s.Containers = nil
			for i := range containers {
				one := suite.GoodContainer(fmt.Sprintf("container-%d", i))
				one.Image = fmt.Sprintf("registry-%d.example.com/team-%s/%s/app:1.2.3%s", i%100, strings.Repeat("a", 40), strings.Repeat("b", 40), digest)
				one.Ports = []corev1.ContainerPort{{ContainerPort: 80}}
				s.Containers = append(s.Containers, one)
			}
		})
		if err := c.Client.Create(t.Context(), large, client.DryRunAll); err != nil {
			t.Errorf("a pod of %d containers: got %v, want no error", containers, err)
		}
	}
}

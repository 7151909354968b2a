package serving_test

import (
	"testing"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// TestChartAccepted applies what the chart renders with all of its switches on to an
// API server that stores nothing of it and refuses fields that it does not know. What
// it renders without them are the overlays of TestManifestsAccepted: TestChart.
func TestChartAccepted(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	helm, err := harness.FindHelm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Release{Values: `
highAvailability: true
certificates: {mode: cert-manager}
registries: {tagTTL: 30s}
exceptionNamespaces: [exceptions]
podLabels: {team: shop}
podAnnotations: {team: shop}
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Exists}]}]}}}
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
extraArgs: [--lock=/etc/lock/portcullis.lock]
extraVolumes: [{name: lock, configMap: {name: lock}}]
extraVolumeMounts: [{name: lock, mountPath: /etc/lock, readOnly: true}]
networkPolicy: true
monitoring: true
dashboard: true
auditPage: true
policyReports: true
nativeFallback: true
tenantGuard: {enabled: true, trustedGroups: ['CORP\admins', "the team's own"], trustedUsers: [argocd]}
cloudEvents: {url: http://broker.example, source: //prod, egress: {namespace: knative-eventing, ports: [80, 8080]}}
`}.Render(t.Context(), helm)
	if err != nil {
		t.Fatal(err)
	}
	accepted := acceptedOf(t, c, "the chart", objects)
	if accepted["ValidatingAdmissionPolicy"] != 5 || accepted["CustomResourceDefinition"] != 4 || accepted["NetworkPolicy"] != 1 {
		t.Errorf("got %v, want five ValidatingAdmissionPolicies, four CustomResourceDefinitions and a NetworkPolicy: the test proves nothing", accepted)
	}
}

package admission_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// label sets a label of a namespace, and returns the warnings.
func label(t *testing.T, c *suite.Cluster, namespace, key, value string) ([]string, error) {
	t.Helper()
	admin, warnings := c.NewClient(t, nil)
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata": {"labels": {%q: %q}}}`, key, value))
	err := admin.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch)
	return warnings.Take(), err
}

// TestNamespaceLabelsAreNoWayOut is T20 and T21: labels with which other webhooks
// let a namespace go, and the one that ours selects by.
func TestNamespaceLabelsAreNoWayOut(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, baseline)
	for key, value := range map[string]string{
		"kubernetes.io/metadata.name":    "kube-system",
		"portcullis.dev/ignore":          "true",
		"admission.gatekeeper.sh/ignore": "true",
		"control-plane":                  "true",
		"webhooks.kyverno.io/exclude":    "true",
	} {
		if _, err := label(t, c, namespace, key, value); err != nil {
			t.Logf("the label %s is refused, which is fine too: %v", key, err)
		}
	}
	bad := suite.Pod.New(namespace, "bad", badSpec())
	wantRefusal(t, c.Client.Create(t.Context(), bad), "spec.containers[0].securityContext.privileged is true")
}

// TestNamespaceNames is T22: only the two names are left out, and nothing that
// looks like them.
func TestNamespaceNames(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	policy := suite.NewPolicy(t, "lookalikes", `
match: {namespaces: ["*kube-system*", "*portcullis-system*"]}
validate: {podSecurity: {level: baseline}}`)
	c.CreatePolicy(t, policy, c.Server)
	unique := c.Namespace(t, nil)
	for _, namespace := range []string{"kube-system-" + unique, unique + "kube-system", "portcullis-system-" + unique} {
		c.NamedNamespace(t, namespace, nil)
		err := c.Client.Create(t.Context(), suite.Deployment.New(namespace, "bad", badSpec()))
		wantRefusal(t, err, "lookalikes: podSecurity/privileged")
	}
	// The other direction: where the cluster itself and Portcullis live.
	for _, namespace := range []string{"kube-system", harness.SystemNamespace} {
		create(t, c.Client, suite.Deployment.New(namespace, unique, badSpec()))
	}
}

// TestNamespaceLevels is T23 and T24: a label can raise the bar and not lower it,
// and an invalid one is refused.
func TestNamespaceLevels(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, map[string]string{api.EnforceLevelLabel: string(api.LevelPrivileged)})
	c.Policy(t, namespace, baseline)
	bad := suite.Pod.New(namespace, "bad", badSpec())
	wantRefusal(t, c.Client.Create(t.Context(), bad), "for-"+namespace+": podSecurity/privileged")

	plain := suite.GoodSpec()
	plain.SecurityContext = nil // baseline, and not restricted
	create(t, c.Client, suite.Pod.New(namespace, "plain", plain))
	if _, err := label(t, c, namespace, api.EnforceLevelLabel, string(api.LevelRestricted)); err != nil {
		t.Fatal(err)
	}
	again := suite.Pod.New(namespace, "again", plain)
	suite.Eventually(t, suite.Soon, func() error { // labels reach Portcullis by a watch
		err := c.Client.Create(t.Context(), again, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "Namespace/"+namespace+": podSecurity/runAsNonRoot") {
			return fmt.Errorf("got %v, want a refusal by the namespace's label", err)
		}
		return nil
	})
	if _, err := label(t, c, namespace, api.EnforceLevelLabel, "strict"); !apierrors.IsInvalid(err) {
		t.Errorf("an invalid label on update: got %v, want it to be invalid", err)
	}
	created := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace + "-2", Labels: map[string]string{api.EnforceVersionLabel: "1.0.0"},
	}}
	if err := c.Client.Create(t.Context(), created); !apierrors.IsInvalid(err) {
		t.Errorf("an invalid label on creation: got %v, want it to be invalid", err)
	}
}

// TestRaisedLevelWarns holds that whoever raises the level of a namespace is told
// which running pods do not meet it.
func TestRaisedLevelWarns(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	create(t, c.Client, suite.Pod.New(namespace, "runs-privileged", badSpec()))
	create(t, c.Client, suite.Pod.New(namespace, "runs-well", suite.GoodSpec()))
	warnings, err := label(t, c, namespace, api.EnforceLevelLabel, string(api.LevelBaseline))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(warnings, "\n")
	if !strings.Contains(got, "runs-privileged: privileged") || strings.Contains(got, "runs-well") {
		t.Errorf("got warnings %q, want one about runs-privileged and none about runs-well", got)
	}
}

// TestFreshNamespace creates a workload right behind its namespace, which the
// watch of Portcullis may not have seen: its labels decide nevertheless.
func TestFreshNamespace(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	policy := suite.NewPolicy(t, "fresh", `
match: {namespaceSelector: {matchLabels: {stage: production}}}
validate: {podSecurity: {level: baseline, namespaceLabels: Ignore}}`)
	c.CreatePolicy(t, policy, c.Server)
	unique := c.Namespace(t, nil)
	for i := range 50 {
		name := fmt.Sprintf("%s-fresh-%d", unique, i)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"stage": "production"}}}
		create(t, c.Client, namespace)
		// A template, since a Pod would have to wait for its service account.
		err := c.Client.Create(t.Context(), suite.PodTemplate.New(name, "bad", badSpec()))
		wantRefusal(t, err, "fresh: podSecurity/privileged")
	}
}

// TestOwnDeployment holds our own Deployment to what we ask of others.
func TestOwnDeployment(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, `{validate: {podSecurity: {level: restricted}}}`)
	wantRefusal(t, c.Client.Create(t.Context(), suite.Deployment.New(namespace, "bad", badSpec())), "restricted:latest")
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Render(filepath.Join(root, "manifests", "base"))
	if err != nil {
		t.Fatal(err)
	}
	admin, warnings := c.NewClient(t, nil)
	found := false
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		found = true
		object.SetNamespace(namespace)
		if err := admin.Create(t.Context(), object); err != nil {
			t.Error(err)
		}
		if got := warnings.Take(); len(got) > 0 {
			t.Errorf("got warnings %q, want none", got)
		}
	}
	if !found {
		t.Error("manifests/base has no Deployment")
	}
}

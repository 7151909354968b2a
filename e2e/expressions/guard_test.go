package expressions_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// applyGuard applies what `portcullis export vap --guard` writes, which goes with the
// test.
func applyGuard(t *testing.T, c *suite.Cluster, args ...string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), c.Binary, append([]string{"export", "vap", "--guard"}, args...)...).Output()
	if err != nil {
		t.Fatalf("exporting the guard: %v", err)
	}
	objects, err := harness.DecodeAll(bytes.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	enforce(t, c, objects)
}

// impersonating returns clients of users with their groups.
func impersonating(t *testing.T, c *suite.Cluster) func(user string, groups ...string) client.Client {
	return func(user string, groups ...string) client.Client {
		made, _ := c.NewClient(t, func(config *rest.Config) {
			config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
		})
		return made
	}
}

// generous binds groups and users to cluster-admin, as happens, for a test.
func generous(t *testing.T, c *suite.Cluster, name string, groups, users []string) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "generous-" + name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}
	for _, group := range groups {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: group})
	}
	for _, user := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user})
	}
	if err := c.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), binding); err != nil {
			t.Error(err)
		}
	})
}

// attempt is something that only administrators may do.
type attempt struct {
	name string
	try  func(context.Context, client.Client) error
}

// attempts are on what an installation goes by, without storing anything.
func attempts(t *testing.T, c *suite.Cluster, tenant string) []attempt {
	t.Helper()
	policy := suite.NewPolicy(t, "guarded-"+tenant, fmt.Sprintf("{match: {namespaces: [%s]}, mode: Audit, validate: {podSecurity: {level: baseline}}}", tenant))
	if err := c.Client.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), policy); err != nil {
			t.Error(err)
		}
	})
	labels := func(name, labels string) func(context.Context, client.Client) error {
		return func(ctx context.Context, as client.Client) error {
			return as.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
				client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":`+labels+`}}`)), client.DryRunAll)
		}
	}
	return []attempt{
		{"create a policy", func(ctx context.Context, as client.Client) error {
			return as.Create(ctx, suite.NewPolicy(t, "tenants", "{validate: {podSecurity: {level: baseline}}}"), client.DryRunAll)
		}},
		{"weaken a policy", func(ctx context.Context, as client.Client) error {
			return as.Patch(ctx, policy.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"mode":"Warn"}}`)), client.DryRunAll)
		}},
		{"forge a status", func(ctx context.Context, as client.Client) error {
			return as.Status().Patch(ctx, policy.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"status":{"rules":7}}`)), client.DryRunAll)
		}},
		{"delete a policy", func(ctx context.Context, as client.Client) error {
			return as.Delete(ctx, policy.DeepCopy(), client.DryRunAll)
		}},
		{"except in its namespace", func(ctx context.Context, as client.Client) error {
			exception := suite.Exception{In: tenant, Policy: policy.GetName(), Namespace: tenant}.Object(t)
			return as.Create(ctx, exception, client.DryRunAll)
		}},
		{"write in our namespace", func(ctx context.Context, as client.Client) error {
			return as.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: harness.SystemNamespace, Name: "tenants"}}, client.DryRunAll)
		}},
		{"except in our namespace", func(ctx context.Context, as client.Client) error {
			return as.Create(ctx, suite.Exception{Policy: policy.GetName(), Namespace: tenant}.Object(t), client.DryRunAll)
		}},
		{"switch the guard of the registration off", func(ctx context.Context, as client.Client) error {
			record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: harness.SystemNamespace, Name: "portcullis-registration"}}
			return as.Patch(ctx, record, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"portcullis.dev/registration-guard":"off"}}}`)), client.DryRunAll)
		}},
		{"delete all policies with their kind", func(ctx context.Context, as client.Client) error {
			return as.Delete(ctx, definition(), client.DryRunAll)
		}},
		{"change their kind", func(ctx context.Context, as client.Client) error {
			return as.Patch(ctx, definition(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
		}},
		{"label our namespace", labels(harness.SystemNamespace, `{"a":"b"}`)},
		{"delete our namespace", func(ctx context.Context, as client.Client) error {
			return as.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: harness.SystemNamespace}}, client.DryRunAll)
		}},
		{"add a label", labels(tenant, `{"pod-security.kubernetes.io/warn":"privileged"}`)},
		{"lower a label", labels(tenant, `{"pod-security.kubernetes.io/enforce":"privileged"}`)},
		{"take a label away", labels(tenant, `{"pod-security.kubernetes.io/enforce":null}`)},
		{"add a label of ours", labels(tenant, `{"portcullis.dev/metrics":"scrape"}`)},
		{"set a label to nothing", labels(tenant, `{"portcullis.dev/metrics":""}`)},
		{"lower a label by the status", func(ctx context.Context, as client.Client) error {
			return as.Status().Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}},
				client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)), client.DryRunAll)
		}},
		{"create an exempt namespace", func(ctx context.Context, as client.Client) error {
			return as.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "exempt", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}}}, client.DryRunAll)
		}},
	}
}

// definition is a CRD of ours.
func definition() client.Object {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("podpolicies.portcullis.dev")
	return crd
}

// TestTenantGuard holds users off whose rights are wider than anybody meant, and
// nobody who is trusted.
func TestTenantGuard(t *testing.T) {
	c := cluster.Cluster(t)
	tenant := c.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	list := attempts(t, c, tenant)
	as := impersonating(t, c)
	// A group that somebody has bound to cluster-admin, and one that is bound to it too
	// and trusted, and a service account of the tenant's.
	account := "system:serviceaccount:" + tenant + ":deployer"
	generous(t, c, tenant, []string{"developers", "platform"}, []string{account, "argocd"})
	tenants := map[string]client.Client{
		"developers": as("dave", "developers", "system:authenticated"),
		"account":    as(account, "system:serviceaccounts", "system:serviceaccounts:"+tenant, "system:authenticated"),
	}
	trusted := map[string]client.Client{
		"masters":    c.Client,
		"platform":   as("pat", "platform"),
		"argocd":     as("argocd"),
		"controller": as("system:serviceaccount:kube-system:namespace-controller", "system:serviceaccounts:kube-system", "system:masters"),
	}
	for _, a := range list { // without the guard they could
		for who, by := range tenants {
			if err := a.try(t.Context(), by); err != nil {
				t.Fatalf("%s, %s, without the guard: %v: the test proves nothing", who, a.name, err)
			}
		}
	}
	applyGuard(t, c, "--trusted-groups=system:masters,platform", "--trusted-users=argocd")
	for _, a := range list {
		for who, by := range tenants {
			suite.Eventually(t, suite.Soon, func() error {
				if err := a.try(t.Context(), by); err == nil || !strings.Contains(err.Error(), "portcullis-guard-") {
					return fmt.Errorf("%s: %s: got %v, want a refusal by the guard", who, a.name, err)
				}
				return nil
			})
		}
		for who, by := range trusted {
			if err := a.try(t.Context(), by); err != nil {
				t.Errorf("%s: %s: got %v, want that it may", who, a.name, err)
			}
		}
	}
	// What is his stays his.
	for name, try := range map[string]func(context.Context, client.Client) error{
		"label his namespace": func(ctx context.Context, by client.Client) error {
			return by.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"team":"shop"}}}`)), client.DryRunAll)
		},
		"write in his namespace": func(ctx context.Context, by client.Client) error {
			return by.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "his"}}, client.DryRunAll)
		},
		"create a namespace": func(ctx context.Context, by client.Client) error {
			return by.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "another", Labels: map[string]string{"team": "shop"}}}, client.DryRunAll)
		},
		"delete his namespace": func(ctx context.Context, by client.Client) error {
			return by.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}, client.DryRunAll)
		},
	} {
		if err := try(t.Context(), tenants["developers"]); err != nil {
			t.Errorf("%s: got %v, want that a tenant may", name, err)
		}
	}
	account = "system:serviceaccount:" + harness.SystemNamespace + ":" + harness.Name
	own := as(account, "system:serviceaccounts", "system:serviceaccounts:"+harness.SystemNamespace)
	record := &corev1.ConfigMap{}
	if err := own.Get(t.Context(), client.ObjectKey{Namespace: harness.SystemNamespace, Name: "portcullis-registration"}, record); err != nil {
		t.Fatal(err)
	}
	if err := own.Update(t.Context(), record, client.DryRunAll); err != nil {
		t.Errorf("Portcullis itself: %v", err)
	}
}

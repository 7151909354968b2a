package exceptions_test

import (
	"fmt"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestRightsOfTenants is T29, and the same for policies and exceptions: whoever has
// Kubernetes' role edit or admin of a namespace, even of the one in which exceptions
// count, has with it no right to write reports, policies, exceptions or their status.
func TestRightsOfTenants(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespaces := []string{c.Namespace(t, nil), "portcullis-system"}
	may := func(user, namespace, verb, group, resource, subresource string) bool {
		t.Helper()
		review, err := c.Clientset.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
			},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	for _, role := range []string{"edit", "admin"} {
		for _, namespace := range namespaces {
			user := role + "-of-" + namespace
			binding := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: namespace},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
			}
			if err := c.Client.Create(t.Context(), binding); err != nil {
				t.Fatal(err)
			}
			// The other direction: the role is bound, and its rights have been aggregated.
			suite.Eventually(t, suite.Soon, func() error {
				if !may(user, namespace, "create", "apps", "deployments", "") {
					return fmt.Errorf("%s may create no Deployment", user)
				}
				return nil
			})
			for _, resource := range []struct{ group, name, subresource string }{
				{"openreports.io", "reports", ""},
				{"openreports.io", "clusterreports", ""},
				{"wgpolicyk8s.io", "policyreports", ""},
				{"wgpolicyk8s.io", "clusterpolicyreports", ""},
				{"portcullis.dev", "podpolicies", ""},
				{"portcullis.dev", "podpolicies", "status"},
				{"portcullis.dev", "policyexceptions", ""},
				{"portcullis.dev", "policyexceptions", "status"},
			} {
				for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection"} {
					if may(user, namespace, verb, resource.group, resource.name, resource.subresource) {
						t.Errorf("%s may %s %s/%s %s, want no right", user, verb, resource.group, resource.name, resource.subresource)
					}
				}
			}
		}
	}
}

package policies

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// usernames refuses what no user is called, and would exempt nobody.
func (b *builder) usernames(path *field.Path, names []string) []string {
	// Groups that look like users (https://kubernetes.io/docs/reference/access-authn-authz/rbac/).
	groups := []string{"system:masters", "system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:nodes"}
	if !b.atMost(path, len(names), 256) {
		return nil
	}
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			b.refuse(path.Index(i), "%s is listed twice", quote(name))
		case strings.TrimSpace(name) == "":
			b.refuse(path.Index(i), "%s is no name; write the one that the user logs in with", quote(name))
		case strings.Contains(name, "*"):
			b.refuse(path.Index(i), "%s is no name; users are named one by one", quote(name))
		case slices.Contains(groups, name) || strings.HasPrefix(name, "system:serviceaccounts:"):
			b.refuse(path.Index(i), "%s is a group; users are named one by one, service accounts as system:serviceaccount:NAMESPACE:NAME", quote(name))
		}
		b.atMostBytes(path.Index(i), name, 1024)
	}
	return names
}

func (b *builder) runtimeClasses(path *field.Path, names []string) []string {
	if !b.atMost(path, len(names), 256) {
		return nil
	}
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			b.refuse(path.Index(i), "%s is listed twice", quote(name))
		case len(validation.IsDNS1123Subdomain(name)) > 0:
			b.refuse(path.Index(i), "%s is not the name of a runtime class; "+nameForm, quote(name))
		}
	}
	return names
}

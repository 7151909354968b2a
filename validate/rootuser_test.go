package validate

import (
	"fmt"
	"testing"
)

// TestRootUserVersion requires that root in a user namespace is let pass from
// Pod Security v1.35 on, and not before.
func TestRootUserVersion(t *testing.T) {
	w := decode(t, "apiVersion: v1\nkind: Pod\nspec:\n  hostUsers: false\n  containers: [{name: app, image: app, securityContext: {runAsUser: 0}}]\n")
	for version, want := range map[string]int{"v1.34": 1, "v1.35": 0, "latest": 0} {
		c := compile(t, "{rootUser: {version: "+version+"}}")
		if got := len(RootUser(w, c.RootUser, nil)); got != want {
			t.Errorf("%s: got %d findings, want %d", version, got, want)
		}
	}
}

// TestT18Precedence requires that the container's context goes before the pod's,
// in both directions, and before the image.
func TestT18Precedence(t *testing.T) {
	const object = "apiVersion: v1\nkind: Pod\nspec:\n  securityContext: {%s}\n  containers: [{name: app, image: 'registry.example.com/%s:1', securityContext: {%s}}]\n"
	settings := compile(t, "{rootUser: {}}").RootUser
	for _, test := range []struct{ pod, container, image, want string }{
		{"runAsNonRoot: true", "runAsUser: 0", "number", runsAsRoot},
		{"runAsUser: 0", "runAsUser: 1000", "root", ""},
		{"runAsUser: 1000", "runAsUser: 0", "number", runsAsRoot},
		{"runAsUser: 1000", "", "root", ""},
		{"runAsNonRoot: true", "runAsNonRoot: false", "root", runsAsRoot},
		{"runAsNonRoot: false", "runAsNonRoot: true", "root", neverStarts},
	} {
		got := ""
		for _, f := range RootUser(decode(t, fmt.Sprintf(object, test.pod, test.image, test.container)), settings, userFacts(t)) {
			got = f.Check
		}
		if got != test.want {
			t.Errorf("pod {%s}, container {%s}, image %s: got check %q, want %q", test.pod, test.container, test.image, got, test.want)
		}
	}
}

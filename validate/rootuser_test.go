package validate

import "testing"

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

package security

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContainerRemedies has upstream's checks say that the remedies make a bare
// pod restricted, and that each is needed for its own check and no other.
func TestContainerRemedies(t *testing.T) {
	const bare = "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [{name: a}]\n  containers: [{name: b, securityContext: {}}]\n"
	restricted := levelVersion(t, "restricted", "latest")
	for _, left := range append([]ContainerRemedy{{}}, containerRemedies...) {
		w := decode(t, []byte(bare))
		for _, remedy := range containerRemedies {
			if remedy.Check == left.Check {
				continue
			}
			found, ok := ForContainer(remedy.Check)
			if !ok {
				t.Fatalf("%s: got no remedy, want one", remedy.Check)
			}
			for c := range w.Containers() {
				found.Apply(c)
			}
		}
		var got, want []string
		for _, v := range newEvaluator(t).Evaluate(restricted, w) {
			got = append(got, string(v.Check))
		}
		if left.Check != "" {
			want = []string{string(left.Check)}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("violations without the remedy of %q (-want +got):\n%s", left.Check, diff)
		}
	}
}

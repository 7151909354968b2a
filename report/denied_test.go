package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deniedBy is a count of an object.
func deniedBy(name, policy, rule, check string, count int) Denied {
	return Denied{
		Namespace: "shop", Kind: "ReplicaSet", Name: name, User: "controller", Policy: policy, Rule: rule, Check: check,
		Count: count, First: "2026-11-20T08:00:00Z", Last: "2026-11-21T09:00:00Z",
	}
}

// TestRefusedObjects requires one line for one object and who asked for it, and one
// result for each policy that refused it, with the checks of the same requests
// together.
func TestRefusedObjects(t *testing.T) {
	later := deniedBy("web", "production", "digests", "", 3)
	later.Last = "2026-11-21T09:30:00Z"
	byUser := deniedBy("web", "production", "rootUser", "root", 1)
	byUser.User = "user"
	all := []Denied{
		later,
		deniedBy("web", "production", "podSecurity", "privileged", 12),
		deniedBy("web", "images", "registries", "", 12),
		deniedBy("api\x1b[2J", "production", "podSecurity", "hostPorts", 1),
		byUser,
		deniedBy("web", "production", "podSecurity", "hostPorts", 12),
		deniedBy("web", "production", "probes", "readiness", 3),
	}
	const asked = ", asked by a controller, the last time at 2026-11-21T09:"
	var lines []string
	var results [][]string
	for _, r := range RefusedObjects(all) {
		lines = append(lines, r.String())
		var texts []string
		for _, result := range r.Results() {
			if result.Rule != DeniedRule || result.Check != "" || result.Result != Pass || result.Kind != "ReplicaSet" || result.Namespace != "shop" || result.Name != r[0].Name {
				t.Errorf("got %+v, want what is told of %s", result, r)
			}
			texts = append(texts, result.Policy+": "+result.Message)
		}
		results = append(results, texts)
	}
	want := []string{
		`ReplicaSet "web" refused 12 times by registries of policy "images" and podSecurity/hostPorts, podSecurity/privileged of policy "production", ` +
			`3 times by digests of policy "production", 3 times by probes/readiness of policy "production"` + asked + "30:00Z",
		`ReplicaSet "api\x1b[2J" refused 1 time by podSecurity/hostPorts of policy "production"` + asked + "00:00Z",
		`ReplicaSet "web" refused 1 time by rootUser/root of policy "production", asked by a user, the last time at 2026-11-21T09:00:00Z`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	wantResults := [][]string{
		{
			`images: ReplicaSet "web" refused 12 times by registries of policy "images"` + asked + "00:00Z",
			`production: ReplicaSet "web" refused 12 times by podSecurity/hostPorts, podSecurity/privileged of policy "production", ` +
				`3 times by digests of policy "production", 3 times by probes/readiness of policy "production"` + asked + "30:00Z",
		},
		{"production: " + want[1]},
		{"production: " + want[2]},
	}
	if diff := cmp.Diff(wantResults, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

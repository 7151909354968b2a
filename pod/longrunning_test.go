package pod

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLongRunning holds which containers are there to stay, in every kind.
func TestLongRunning(t *testing.T) {
	containers := map[string]any{
		"initContainers":      []any{map[string]any{"name": "init"}, map[string]any{"name": "sidecar", "restartPolicy": "Always"}},
		"containers":          []any{map[string]any{"name": "app"}, map[string]any{"name": "always", "restartPolicy": "Always"}, map[string]any{"name": "once", "restartPolicy": "OnFailure"}},
		"ephemeralContainers": []any{map[string]any{"name": "debug"}},
	}
	for _, kind := range Kinds() {
		for _, policy := range []string{"", "Always", "OnFailure", "Never"} {
			spec := map[string]any{}
			for list, value := range containers {
				spec[list] = value
			}
			if policy != "" {
				spec["restartPolicy"] = policy
			}
			w, err := Decode(kind, encode(t, manifest(kind, spec)))
			if err != nil {
				t.Fatal(err)
			}
			var longRunning, stays []string
			for c := range w.Containers() {
				if c.LongRunning() {
					longRunning = append(longRunning, c.Name)
				}
				if c.Stays() {
					stays = append(stays, c.Name)
				}
			}
			var wantRunning, wantStays []string
			if kind.Name != "Job" && kind.Name != "CronJob" && (policy == "" || policy == "Always") {
				wantRunning, wantStays = []string{"app", "always"}, []string{"sidecar", "app", "always"}
			}
			if diff := cmp.Diff([2][]string{wantRunning, wantStays}, [2][]string{longRunning, stays}); diff != "" {
				t.Errorf("%s, restartPolicy %q (-want +got):\n%s", kind.Name, policy, diff)
			}
		}
	}
}

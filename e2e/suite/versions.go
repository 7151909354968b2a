package suite

import (
	"maps"
	"slices"

	"k8s.io/pod-security-admission/policy"
)

// VersionsWithOwnRules are the versions of the Pod Security Standards, as "v1.25",
// from which on some check is another one.
func VersionsWithOwnRules() []string {
	all := map[string]bool{}
	for _, check := range policy.DefaultChecks() {
		for _, versioned := range check.Versions {
			all[versioned.MinimumVersion.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

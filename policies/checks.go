package policies

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// checks refuses checks that do not exist, and those that lv never evaluates or that know no containers: an exemption from such a check
// does nothing, and was meant for another one. A nil lv is a level that is not set or not valid.
func (b *builder) checks(path *field.Path, ids []string, lv *psapi.LevelVersion) {
	if len(ids) == 0 {
		b.refuse(path, "is empty; name the checks that are not applied")
	}
	if !b.atMost(path, len(ids), 32) {
		return
	}
	all := pspolicy.DefaultChecks()
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			b.refuse(path.Index(i), "%s is listed twice", quote(id))
			continue
		}
		found := slices.IndexFunc(all, func(c pspolicy.Check) bool { return string(c.ID) == id })
		if found < 0 {
			b.refuse(path.Index(i), "%s is not a check; %s", quote(id), suggestCheck(id, all))
			continue
		}
		if slices.Contains(podChecks(), id) {
			b.refuse(path.Index(i), "%s looks at the pod as a whole and knows no exempt containers; leave the namespace out of the policy, or choose another level", quote(id))
			continue
		}
		if lv == nil {
			continue
		}
		if reason := whyNotEvaluated(all[found], all, *lv); reason != "" {
			b.refuse(path.Index(i), "%s is not evaluated: %s", quote(id), reason)
		}
	}
}

// podChecks are the checks that read no field of a container, so that a pod fails them with any of its containers taken away.
func podChecks() []string {
	return []string{"hostNamespaces", "hostPathVolumes", "restrictedVolumes", "sysctls"}
}

func suggestCheck(id string, checks []pspolicy.Check) string {
	var known []string
	for _, check := range checks {
		if !slices.Contains(podChecks(), string(check.ID)) {
			known = append(known, string(check.ID))
		}
	}
	if near := nearest(id, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	slices.Sort(known)
	return "use " + either(known)
}

// whyNotEvaluated follows the registry of k8s.io/pod-security-admission/policy, which does not tell: a level evaluates the checks of its own
// and of the levels below it, less those that a check of its own overrides, each from its first version on. It is "" for a check that is evaluated.
func whyNotEvaluated(check pspolicy.Check, all []pspolicy.Check, lv psapi.LevelVersion) string {
	if lv.Level == psapi.LevelPrivileged {
		return "level privileged has no checks"
	}
	if lv.Level == psapi.LevelBaseline && check.Level == psapi.LevelRestricted {
		return "it belongs to level restricted, and the level here is baseline"
	}
	if first := check.Versions[0].MinimumVersion; lv.Version.Older(first) {
		return fmt.Sprintf("it exists from %s on, and the version here is %s", first.String(), lv.Version.String())
	}
	if lv.Level != psapi.LevelRestricted {
		return ""
	}
	for _, other := range all {
		if revision := revisionAt(other, lv.Version); slices.Contains(revision.OverrideCheckIDs, check.ID) {
			return fmt.Sprintf("at level restricted %s takes its place", other.ID)
		}
	}
	return ""
}

// revisionAt is the revision of a check that counts at a version; the zero value before its first.
func revisionAt(check pspolicy.Check, version psapi.Version) pspolicy.VersionedCheck {
	var current pspolicy.VersionedCheck
	for _, revision := range check.Versions {
		if !version.Older(revision.MinimumVersion) {
			current = revision
		}
	}
	return current
}

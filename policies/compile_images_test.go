package policies

import (
	"strings"
	"testing"
)

const (
	ownerAdvice = "is not GROUP/KIND; write it as in argoproj.io/Rollout, without a version; * stands for any run of characters"
	tagAdvice   = "is not a tag; tags are up to 128 letters, digits and _ . - (. and - not first); there are no globs, write each tag out"
)

func TestOwnedBy(t *testing.T) {
	set := compileText(t, head("p")+`spec: {mutate: {digests: {owners: [argoproj.io/Rollout, "*.example.com/*", "kafka.io/*Set"]}}}`)
	digests := set.Matching(nil, Target{Namespace: "a"})[0].Policy.Digests
	tests := []struct {
		group, kind string
		want        bool
	}{
		{"argoproj.io", "Rollout", true},
		{"argoproj.io", "rollout", false},
		{"argoproj.io", "RolloutX", false},
		{"xargoproj.io", "Rollout", false},
		{"argoproj.io.evil.io", "Rollout", false},
		{"a.example.com", "Cluster", true},
		{"a.b.example.com", "Cluster", true},
		{"example.com", "Cluster", false},
		{"kafka.io", "StrimziPodSet", true},
		{"kafka.io", "Kafka", false},
		{"", "Rollout", false},
		{"", "", false},
	}
	for _, tc := range tests {
		if got := digests.OwnedBy(tc.group, tc.kind); got != tc.want {
			t.Errorf("%q %q: got %v, want %v", tc.group, tc.kind, got, tc.want)
		}
	}
	all := compileText(t, head("p")+`spec: {mutate: {digests: {owners: ["*/*"]}}}`).Matching(nil, Target{Namespace: "a"})[0].Policy.Digests
	if !all.OwnedBy("example.com", "Cluster") || all.OwnedBy("", "Node") {
		t.Error("*/* does not stand for every group but the core group, want it to")
	}
	if (ownerGlob{}).match("", "") {
		t.Error("the zero value matches, want nothing matched")
	}
}

func ownersSpec(owners string) string {
	return `{mutate: {digests: {owners: [` + owners + `]}}}`
}

func ownerCases() []validationCase {
	return []validationCase{
		{name: "owners", spec: ownersSpec(`argoproj.io/Rollout, "*.example.com/*", "*/*", "a-b.io/X-1"`)},
		{name: "no owners", spec: ownersSpec(``)},
		{
			name: "owner without group, with version, in lower case", spec: ownersSpec(`Rollout, argoproj.io/v1alpha1/Rollout, argoproj.io/v1alpha1, argoproj.io/rollouts`),
			want: []string{
				`spec.mutate.digests.owners[0]: "Rollout" ` + ownerAdvice,
				`spec.mutate.digests.owners[1]: "argoproj.io/v1alpha1/Rollout" ` + ownerAdvice,
				`spec.mutate.digests.owners[2]: "argoproj.io/v1alpha1" ` + ownerAdvice,
				`spec.mutate.digests.owners[3]: "argoproj.io/rollouts" ` + ownerAdvice,
			},
		},
		{
			name: "owner of no form", spec: ownersSpec(`"", /Pod, a.io/, Argoproj.io/Rollout, a..io/X, .a.io/X, "*"`),
			want: []string{
				`spec.mutate.digests.owners[0]: "" ` + ownerAdvice,
				`spec.mutate.digests.owners[1]: "/Pod" ` + ownerAdvice,
				`spec.mutate.digests.owners[2]: "a.io/" ` + ownerAdvice,
				`spec.mutate.digests.owners[3]: "Argoproj.io/Rollout" ` + ownerAdvice,
				`spec.mutate.digests.owners[4]: "a..io/X" ` + ownerAdvice,
				`spec.mutate.digests.owners[5]: ".a.io/X" ` + ownerAdvice,
				`spec.mutate.digests.owners[6]: "*" ` + ownerAdvice,
			},
		},
		{
			name: "long owner", spec: ownersSpec(strings.Repeat("a", 316) + `/X`),
			want: []string{`spec.mutate.digests.owners[0]: "` + strings.Repeat("a", 80) + `..." ` + ownerAdvice},
		},
		{
			name: "built-in owner", spec: ownersSpec(`apps/StatefulSet, "batch/*"`),
			want: []string{
				`spec.mutate.digests.owners[0]: "apps/StatefulSet" is built in, and its Pods are repaired in any case; leave it out`,
				`spec.mutate.digests.owners[1]: "batch/*" is built in, and its Pods are repaired in any case; leave it out`,
			},
		},
		{
			name: "owner twice", spec: ownersSpec(`a.io/X, a.io/Y, a.io/X`),
			want: []string{`spec.mutate.digests.owners[2]: "a.io/X" is listed twice`},
		},
		{
			name: "too many owners", spec: ownersSpec(numbered("a.io/X", 65)),
			want: []string{`spec.mutate.digests.owners: has 65 entries; 64 is the limit`},
		},
	}
}

func rootUserCases() []validationCase {
	return []validationCase{
		{name: "root user", spec: `{validate: {rootUser: {}}}`},
		{name: "root user, all fields", spec: `{validate: {rootUser: {mode: Audit, version: v1.34}}}`},
		{
			name: "root user, bad words", spec: `{validate: {rootUser: {mode: "true", version: "1.34"}}}`,
			want: []string{
				`spec.validate.rootUser.mode: "true" is not a mode; use Enforce, Warn or Audit`,
				`spec.validate.rootUser.version: "1.34" is not a version; use latest, or v1 and a minor version such as v1.36`,
			},
		},
	}
}

func digestRequirementCases() []validationCase {
	return []validationCase{
		{name: "digests", spec: `{validate: {digests: {}}}`},
		{name: "digests, all fields", spec: `{validate: {digests: {mode: Warn, require: true, forbidTags: [latest, "1.27", _x, A-b.C_d, ` + strings.Repeat("a", 128) + `]}}}`},
		{name: "digests, tags only", spec: `{validate: {digests: {require: false, forbidTags: [latest]}}}`},
		{
			name: "digests, mode", spec: `{validate: {digests: {mode: Deny}}}`,
			want: []string{`spec.validate.digests.mode: "Deny" is not a mode; use Enforce, Warn or Audit`},
		},
		{
			name: "digests of nothing", spec: `{validate: {digests: {require: false, forbidTags: []}}}`,
			want: []string{`spec.validate.digests: judges nothing; set require to true, or name tags in forbidTags`},
		},
		{
			name: "no tags", spec: `{validate: {digests: {forbidTags: ["", "v*", "nginx:latest", ".a", "-a", ` + strings.Repeat("a", 129) + `, é, "a\n"]}}}`,
			want: []string{
				`spec.validate.digests.forbidTags[0]: "" ` + tagAdvice,
				`spec.validate.digests.forbidTags[1]: "v*" ` + tagAdvice,
				`spec.validate.digests.forbidTags[2]: "nginx:latest" ` + tagAdvice,
				`spec.validate.digests.forbidTags[3]: ".a" ` + tagAdvice,
				`spec.validate.digests.forbidTags[4]: "-a" ` + tagAdvice,
				`spec.validate.digests.forbidTags[5]: "` + strings.Repeat("a", 80) + `..." ` + tagAdvice,
				`spec.validate.digests.forbidTags[6]: "é" ` + tagAdvice,
				`spec.validate.digests.forbidTags[7]: "a\n" ` + tagAdvice,
			},
		},
		{
			name: "tag twice", spec: `{validate: {digests: {forbidTags: [latest, Latest, latest]}}}`,
			want: []string{`spec.validate.digests.forbidTags[2]: "latest" is listed twice`},
		},
		{
			name: "too many tags", spec: `{validate: {digests: {forbidTags: [` + numbered("t", 65) + `]}}}`,
			want: []string{`spec.validate.digests.forbidTags: has 65 entries; 64 is the limit`},
		},
		{
			name: "too many tags and nothing else", spec: `{validate: {digests: {require: false, forbidTags: [` + numbered("t", 65) + `]}}}`,
			want: []string{`spec.validate.digests.forbidTags: has 65 entries; 64 is the limit`},
		},
	}
}

func registriesSpec(settings string) string {
	return `{validate: {registries: {` + settings + `}}}`
}

func registriesCases() []validationCase {
	return []validationCase{
		{name: "allow", spec: registriesSpec(`mode: Warn, allow: ["docker.io/library/*", "registry.example.com:5000/**", nginx]`)},
		{name: "deny", spec: registriesSpec(`deny: ["docker.io/**", "*.example.com/a"]`)},
		{name: "deny everything", spec: registriesSpec(`deny: ["**"]`)},
		{name: "allow with holes", spec: registriesSpec(`allow: ["**", "quay.io/a/*"], deny: ["docker.io/**", "quay.io/a/b"]`)},
		{
			name: "registries, mode", spec: registriesSpec(`mode: Deny, deny: [a]`),
			want: []string{`spec.validate.registries.mode: "Deny" is not a mode; use Enforce, Warn or Audit`},
		},
		{
			name: "registries of nothing", spec: registriesSpec(`allow: [], deny: []`),
			want: []string{`spec.validate.registries: judges nothing; name images in allow, deny or both`},
		},
		{
			name: "registries without a field", spec: registriesSpec(``),
			want: []string{`spec.validate.registries: judges nothing; name images in allow, deny or both`},
		},
		{
			name: "allow everything", spec: registriesSpec(`allow: [nginx, "**"]`),
			want: []string{`spec.validate.registries.allow[1]: "**" allows every image; name the registries, or images in deny`},
		},
		{
			name: "no pattern", spec: registriesSpec(`allow: ["nginx@sha256:abc"], deny: [""]`),
			want: []string{
				`spec.validate.registries.allow[0]: "nginx@sha256:abc" carries a tag or a digest; write "nginx", which stands for all of them`,
				`spec.validate.registries.deny[0]: is empty; write an image name, or ** for every image`,
			},
		},
		{
			name: "no pattern, parsed", spec: registriesSpec(`allow: ["registry.example.com*/a", "*"], deny: [quay.io/A]`), inGoOnly: parsesImages,
			want: []string{
				`spec.validate.registries.allow[0]: "registry.example.com*/a" leaves the end of the registry's host open; write it out, as in *.example.com`,
				`spec.validate.registries.allow[1]: "*" does not say which registry; write "docker.io/library/*" for Docker Hub, or ** for every image`,
				`spec.validate.registries.deny[0]: "quay.io/A" can match nothing: repositories are lower case`,
			},
		},
		{
			name: "pattern twice", spec: registriesSpec(`allow: [a, b, a], deny: [c, c]`),
			want: []string{
				`spec.validate.registries.allow[2]: "a" is listed twice`,
				`spec.validate.registries.deny[1]: "c" is listed twice`,
			},
		},
		{
			name: "pattern twice, spelt differently", spec: registriesSpec(`allow: [nginx, index.docker.io/library/nginx]`), inGoOnly: parsesImages,
			want: []string{`spec.validate.registries.allow[1]: "index.docker.io/library/nginx" is listed twice`},
		},
		{
			name: "allowed and denied", spec: registriesSpec(`allow: [a, b], deny: [c, b]`),
			want: []string{`spec.validate.registries.allow[1]: "b" never counts: "b" in deny refuses all of it`},
		},
		{
			name: "allowed and denied by pattern", spec: registriesSpec(`allow: [nginx, "quay.io/a/*", "quay.io/**"], deny: ["docker.io/**", "quay.io/a/**"]`), inGoOnly: parsesImages,
			want: []string{
				`spec.validate.registries.allow[0]: "nginx" never counts: "docker.io/**" in deny refuses all of it`,
				`spec.validate.registries.allow[1]: "quay.io/a/*" never counts: "quay.io/a/**" in deny refuses all of it`,
			},
		},
		{
			name: "too many patterns", spec: registriesSpec(`allow: [` + numbered("a", 257) + `], deny: [` + numbered("d", 257) + `]`),
			want: []string{
				`spec.validate.registries.allow: has 257 entries; 256 is the limit`,
				`spec.validate.registries.deny: has 257 entries; 256 is the limit`,
			},
		},
	}
}

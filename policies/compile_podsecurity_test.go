package policies

import "strings"

const (
	needsVersions = "the versions of checks are upstream's, and change"
	parsesImages  = "the pattern has to be parsed"
)

func podSecuritySpec(settings string) string {
	return `{validate: {podSecurity: ` + settings + `}}`
}

func exemptSpec(settings, exemptions string) string {
	return podSecuritySpec(`{` + settings + `, exemptions: [` + exemptions + `]}`)
}

func podSecurityCases() []validationCase {
	return []validationCase{
		{name: "labels only", spec: podSecuritySpec(`{}`)},
		{name: "level", spec: podSecuritySpec(`{level: restricted, version: v1.0, namespaceLabels: Ignore, templates: Warn, mode: Warn}`)},
		{name: "privileged with labels", spec: podSecuritySpec(`{level: privileged}`)},
		{
			name: "bad words", spec: podSecuritySpec(`{level: strict, version: "1.30", namespaceLabels: Honour, templates: Allow}`),
			want: []string{
				`spec.validate.podSecurity.version: "1.30" is not a version; use latest, or v1 and a minor version such as v1.36`,
				`spec.validate.podSecurity.level: "strict" is not a level; use privileged, baseline or restricted`,
				`spec.validate.podSecurity.namespaceLabels: "Honour" is not a way to treat labels; use Honor or Ignore`,
				`spec.validate.podSecurity.templates: "Allow" is not an action; use Deny or Warn`,
			},
		},
		{
			name: "other major version", spec: podSecuritySpec(`{level: baseline, version: v2.0}`),
			want: []string{`spec.validate.podSecurity.version: "v2.0" is not a version; use latest, or v1 and a minor version such as v1.36`},
		},
		{
			name: "version that does not exist", spec: podSecuritySpec(`{level: baseline, version: v1.99}`), inGoOnly: needsVersions,
			want: []string{`spec.validate.podSecurity.version: "v1.99" is not known here, where the newest version is ` + newestVersion().String() + `; use latest`},
		},
		{
			name: "judges nothing", spec: podSecuritySpec(`{namespaceLabels: Ignore}`),
			want: []string{`spec.validate.podSecurity: judges nothing; set level to baseline or restricted, or namespaceLabels to Honor`},
		},
		{
			name: "privileged judges nothing", spec: podSecuritySpec(`{level: privileged, namespaceLabels: Ignore}`),
			want: []string{`spec.validate.podSecurity: judges nothing; set level to baseline or restricted, or namespaceLabels to Honor`},
		},
		{
			name: "version without level", spec: podSecuritySpec(`{version: v1.30}`),
			want: []string{`spec.validate.podSecurity.version: "v1.30" belongs to level, and none is set; set a level, or leave version out`},
		},
	}
}

func exemptionCases() []validationCase {
	return []validationCase{
		{
			name: "exemption without level", spec: podSecuritySpec(`{exemptions: [{checks: [hostPorts], containers: [a]}]}`),
			want: []string{`spec.validate.podSecurity.exemptions: belong to level, and none is set; set a level, or leave exemptions out`},
		},
		{name: "exemptions", spec: exemptSpec(`level: baseline`, `{checks: [hostPorts, capabilities_baseline], containers: [node-exporter, "x-*"]},
			{checks: [privileged], images: [nginx, "quay.io/prometheus/*", "registry.example.com:5000/**"]}, {checks: [privileged], containers: [a], images: ["**"]}`)},
		{
			name: "exemption of nothing", spec: exemptSpec(`level: baseline`, `{checks: [hostPorts], containers: [], images: []}`),
			want: []string{`spec.validate.podSecurity.exemptions[0]: covers no container; name them by containers, images or both`},
		},
		{
			name: "exemption from nothing", spec: exemptSpec(`level: baseline`, `{checks: [], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks: is empty; name the checks that are not applied`},
		},
		{
			name: "container and image", spec: exemptSpec(`level: baseline`, `{checks: [hostPorts], containers: [A], images: ["nginx@sha256:abc"]}`),
			want: []string{
				`spec.validate.podSecurity.exemptions[0].containers[0]: "A" ` + globAdvice,
				`spec.validate.podSecurity.exemptions[0].images[0]: "nginx@sha256:abc" carries a tag or a digest; write "nginx", which stands for all of them`,
			},
		},
		{
			name: "image twice", spec: exemptSpec(`level: baseline`, `{checks: [hostPorts], images: [nginx, docker.io/nginx]}`), inGoOnly: parsesImages,
			want: []string{`spec.validate.podSecurity.exemptions[0].images[1]: "docker.io/nginx" is listed twice`},
		},
		{
			name: "too many exemptions", spec: exemptSpec(`level: baseline`, strings.Repeat(`{checks: [hostPorts], containers: [a]}, `, 65)),
			want: []string{`spec.validate.podSecurity.exemptions: has 65 entries; 64 is the limit`},
		},
		{
			name: "too many in an exemption",
			spec: exemptSpec(`level: baseline`, `{checks: [`+strings.Repeat("hostPorts, ", 33)+`], containers: [`+numbered("c", 257)+`], images: [`+numbered("i", 257)+`]}`),
			want: []string{
				`spec.validate.podSecurity.exemptions[0].containers: has 257 entries; 256 is the limit`,
				`spec.validate.podSecurity.exemptions[0].images: has 257 entries; 256 is the limit`,
				`spec.validate.podSecurity.exemptions[0].checks: has 33 entries; 32 is the limit`,
			},
		},
	}
}

func exemptCheckCases() []validationCase {
	return []validationCase{
		{
			name: "misspelt check", spec: exemptSpec(`level: baseline`, `{checks: [hostPort], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "hostPort" is not a check; did you mean hostPorts?`},
		},
		{
			name: "unknown check", spec: exemptSpec(`level: baseline`, `{checks: [everything], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "everything" is not a check; use allowPrivilegeEscalation, appArmorProfile, capabilities_baseline, capabilities_restricted, hostPorts, hostProbesAndHostLifecycle, privileged, procMount, procMount_restricted, runAsNonRoot, runAsUser, seLinuxOptions, seccompProfile_baseline, seccompProfile_restricted or windowsHostProcess`},
		},
		{
			name: "check of the pod", spec: exemptSpec(`level: baseline`, `{checks: [hostNamespaces], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "hostNamespaces" looks at the pod as a whole and knows no exempt containers; leave the namespace out of the policy, or choose another level`},
		},
		{
			name: "check twice", spec: exemptSpec(`level: baseline`, `{checks: [hostPorts, hostPorts], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[1]: "hostPorts" is listed twice`},
		},
		{
			name: "restricted check at baseline", spec: exemptSpec(`level: baseline`, `{checks: [runAsNonRoot], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "runAsNonRoot" is not evaluated: it belongs to level restricted, and the level here is baseline`},
		},
		{
			name: "overridden check at restricted", spec: exemptSpec(`level: restricted`, `{checks: [capabilities_baseline], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "capabilities_baseline" is not evaluated: at level restricted capabilities_restricted takes its place`},
		},
		{name: "check not yet overridden", spec: exemptSpec(`level: restricted, version: v1.20`, `{checks: [capabilities_baseline], containers: [a]}`)},
		{
			name: "check of a later version", spec: exemptSpec(`level: baseline, version: v1.30`, `{checks: [hostProbesAndHostLifecycle], containers: [a]}`), inGoOnly: needsVersions,
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "hostProbesAndHostLifecycle" is not evaluated: it exists from v1.34 on, and the version here is v1.30`},
		},
		{
			name: "check at privileged", spec: exemptSpec(`level: privileged`, `{checks: [hostPorts], containers: [a]}`),
			want: []string{`spec.validate.podSecurity.exemptions[0].checks[0]: "hostPorts" is not evaluated: level privileged has no checks`},
		},
	}
}

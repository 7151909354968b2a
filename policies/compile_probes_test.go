package policies

import (
	"strings"
	"testing"
)

func probesOf(t testing.TB, settings string) *CompiledProbes {
	t.Helper()
	set := compileText(t, head("p")+"spec: {mutate: {probes: {"+settings+"}}}")
	return set.Matching(nil, Target{Namespace: "a"})[0].Policy.Probes
}

func TestProbeSources(t *testing.T) {
	for settings, want := range map[string]string{
		"":                             "Annotation! Catalog! Healthcheck NamedPort OnlyPort",
		"sources: [OnlyPort, Catalog]": "Catalog! OnlyPort",
		"livenessSources: []":          "Annotation Catalog Healthcheck NamedPort OnlyPort",
		"sources: [Healthcheck, Annotation], livenessSources: [Healthcheck]":   "Annotation Healthcheck!",
		"sources: [NamedPort], livenessSources: [Healthcheck, Catalog]":        "NamedPort",
		"livenessSources: [Healthcheck, Annotation, Catalog], grpcPorts: GRPC": "Annotation! Catalog! Healthcheck! NamedPort OnlyPort",
		"sources: [Annotation, Catalog, Healthcheck], imagesWithoutShell: [a]": "Annotation! Catalog! Healthcheck",
	} {
		p := probesOf(t, settings)
		var got []string
		for _, s := range ProbeSources() {
			switch {
			case p.MayRestart(s):
				got = append(got, string(s)+"!")
			case p.Uses(s):
				got = append(got, string(s))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s (! may restart)", settings, got, want)
		}
	}
}

func TestProbeSettings(t *testing.T) {
	if p := probesOf(t, ""); !p.HealthService || p.WithoutShell("gcr.io/distroless/static") {
		t.Errorf("got %+v, want the health service asked, and no image known to lack a shell", p)
	}
	p := probesOf(t, `grpcPorts: TCPSocket, imagesWithoutShell: ["gcr.io/distroless/**"]`)
	if p.HealthService || !p.WithoutShell("gcr.io/distroless/static") || p.WithoutShell("docker.io/library/alpine") {
		t.Errorf("got %+v, want a connection alone, and distroless images known to lack a shell", p)
	}
}

func probesCases() []validationCase {
	const at = "spec.mutate.probes"
	spec := func(settings string) string { return `{mutate: {probes: {` + settings + `}}}` }
	return []validationCase{
		{name: "probes", spec: spec(``)},
		{name: "probes, all settings", spec: spec(`mode: Audit, owners: [a.io/B], skipAnnotation: Honor, sources: [OnlyPort, Annotation, Catalog, NamedPort, Healthcheck],
			livenessSources: [], grpcPorts: TCPSocket, defaultCatalog: Exclude, imagesWithoutShell: ["gcr.io/distroless/**"]`)},
		{name: "probes, no source", spec: spec(`sources: []`), want: []string{at + `.sources: is empty; name the sources, or leave it out for all`}},
		{
			name: "probes, other words",
			spec: spec(`mode: "on", skipAnnotation: x, sources: [Label], livenessSources: [NamedPort], grpcPorts: TCP, defaultCatalog: None`),
			want: []string{
				at + `.skipAnnotation: "x" is not an action; use Honor or Ignore`,
				at + `.mode: "on" is not a mode; use Enforce, Warn or Audit`,
				at + `.sources[0]: "Label" is not a source; use Annotation, Catalog, Healthcheck, NamedPort or OnlyPort`,
				at + `.livenessSources[0]: "NamedPort" is not a source of liveness probes; use Annotation, Catalog or Healthcheck`,
				at + `.grpcPorts: "TCP" is not a probe of a port; use GRPC or TCPSocket`,
				at + `.defaultCatalog: "None" is not a use of a catalog; use Include or Exclude`,
			},
		},
		{
			name: "probes, a source twice", spec: spec(`sources: [Catalog, Catalog], livenessSources: [Catalog, Catalog]`),
			want: []string{at + `.sources[1]: "Catalog" is listed twice`, at + `.livenessSources[1]: "Catalog" is listed twice`},
		},
		{
			name: "probes, too many sources", spec: spec(`sources: [` + strings.Repeat("Catalog, ", 6) + `]`),
			want: []string{at + `.sources: has 6 entries; 5 is the limit`},
		},
		{
			name: "probes, an image that is none", spec: spec(`imagesWithoutShell: ["a b"]`),
			want: []string{at + `.imagesWithoutShell[0]: "a b" can match nothing: the parts of a name are lower-case letters, digits, and . _ - between them`},
		},
	}
}

func probeRequirementCases() []validationCase {
	const at = "spec.validate.probes"
	spec := func(settings string) string { return `{validate: {probes: {` + settings + `}}}` }
	return []validationCase{
		{name: "probes required: none", spec: spec(``)},
		{name: "probes required", spec: spec(`mode: Warn, require: [readiness, liveness, startup]`)},
		{
			name: "probes required, other words", spec: spec(`mode: warn, require: [readinessProbe]`),
			want: []string{
				at + `.mode: "warn" is not a mode; use Enforce, Warn or Audit`,
				at + `.require[0]: "readinessProbe" is not a probe; use readiness, liveness or startup`,
			},
		},
		{
			name: "probes required, twice", spec: spec(`require: [startup, startup]`),
			want: []string{at + `.require[1]: "startup" is listed twice`},
		},
	}
}

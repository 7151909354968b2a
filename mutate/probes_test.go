package mutate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// probeFacts are what the images of the tests here say.
func probeFacts() image.Facts {
	amd64 := func(p image.Platform) image.Platform {
		p.OS, p.Architecture, p.Selected = "linux", "amd64", true
		return p
	}
	arm64 := func(p image.Platform) image.Platform {
		p.OS, p.Architecture, p.Selected = "linux", "arm64", true
		return p
	}
	healthy := image.Platform{Healthcheck: &image.Healthcheck{Command: []string{"/healthy"}}}
	none := image.Platform{NoHealthcheck: true}
	shell := image.Platform{Healthcheck: &image.Healthcheck{Command: []string{"/bin/sh", "-c", "curl -f localhost"}}}
	shellless := shell
	shellless.NoShell = true
	windows := image.Platform{OS: "windows", Architecture: "amd64", Selected: true, Healthcheck: &image.Healthcheck{Command: []string{"cmd", "/S", "/C", "check"}}}
	facts := image.Facts{}
	for name, platforms := range map[string][]image.Platform{
		"silent":           {amd64(image.Platform{}), arm64(image.Platform{})},
		"healthy":          {amd64(healthy), arm64(healthy)},
		"none":             {amd64(none), arm64(none)},
		"shell":            {amd64(shell), arm64(shell)},
		"shellless":        {amd64(shell), arm64(shellless)},
		"healthy-on-amd64": {amd64(healthy), arm64(image.Platform{})},
		"none-on-arm64":    {amd64(image.Platform{}), arm64(none)},
		"healthy-windows":  {windows, amd64(healthy)},
		"windows-only":     {windows},
		"endless":          {amd64(image.Platform{Healthcheck: &image.Healthcheck{Command: []string{"/healthy", strings.Repeat("x", 16<<10)}}})},
		"empty":            {amd64(image.Platform{Healthcheck: &image.Healthcheck{Command: []string{""}}})},
	} {
		facts[name] = image.Fact{Image: name, Platforms: platforms}
	}
	facts["gone"] = image.Fact{Image: "gone", Err: &image.Error{Reason: image.Timeout, Image: "gone", Host: "docker.io"}}
	facts["EVIL//x"] = image.Fact{Image: "EVIL//x", Err: &image.Error{Reason: image.InvalidReference, Image: "EVIL//x"}}
	return facts
}

// The probes that tests expect, as JSON.
const (
	healthyProbe   = `{"exec":{"command":["/healthy"]},"timeoutSeconds":30,"periodSeconds":30,"failureThreshold":3}`
	readyTiming    = `"timeoutSeconds":3,"periodSeconds":5,"failureThreshold":3}`
	livenessTiming = `"timeoutSeconds":5,"periodSeconds":10,"failureThreshold":6}`
	startupTiming  = `"timeoutSeconds":5,"periodSeconds":10,"failureThreshold":60}`
)

// probesCase is a pod, in YAML, and what becomes of it.
type probesCase struct {
	name, settings string
	// annotations of the template, and the pod spec.
	annotations, spec string
	want              []string // "container: path value, from evidence"
	findings          []string // "check container path: message", with * for one that denies
	needs             []string
}

func (tc probesCase) run(t *testing.T) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {metadata: {annotations: {%s}}, spec: {%s}}}\n", tc.annotations, tc.spec)
	settings := compile(t, "{probes: {"+tc.settings+"}}").Probes
	facts := probeFacts()
	w := decode(t, manifest)
	var needs []string
	for _, need := range ProbeNeeds(w, settings) {
		if (need != image.Need{Image: need.Image, Config: true}) {
			t.Errorf("got need %+v, want a configuration alone", need)
		}
		needs = append(needs, need.Image)
	}
	if diff := cmp.Diff(tc.needs, needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	_, edits, findings := prove(t, manifest, func(r *Recorder, w *pod.Workload) []pod.Finding { return Probes(r, w, settings, facts) })
	var got, found []string
	for _, line := range explained(edits) {
		got = append(got, strings.ReplaceAll(line, "spec.template.spec.", ""))
	}
	if diff := cmp.Diff(tc.want, got); diff != "" {
		t.Errorf("edits (-want +got):\n%s", diff)
	}
	for _, f := range findings {
		denies := ""
		if !f.Advisory {
			denies = "*"
		}
		if f.Rule != ProbesRule || f.Fix == "" {
			t.Errorf("got finding %+v, want the rule and a fix", f)
		}
		found = append(found, strings.NewReplacer("spec.template.spec.", "", "spec.template.", "").Replace(
			fmt.Sprintf("%s%s %s %s: %s", denies, f.Check, f.Container, f.Path, f.Message)))
	}
	if diff := cmp.Diff(tc.findings, found); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestProbes holds the order of the sources, and what is left alone.
func TestProbes(t *testing.T) {
	const catalog = `catalog: [{images: [docker.io/library/healthy], readiness: {tcpSocket: {port: 1}}, liveness: {tcpSocket: {port: 2}}, startup: {tcpSocket: {port: 3}}}]`
	const ownReadiness, ownLiveness = `readinessProbe: {tcpSocket: {port: 7}}`, `livenessProbe: {tcpSocket: {port: 7}}`
	const fromCatalog = ", from the policy's catalog entry for docker.io/library/healthy"
	const readyNote = `portcullis.dev/readiness-probe: "tcp:9"`
	for _, tc := range []probesCase{
		{
			name: "the annotation first, the catalog for the rest", settings: catalog, annotations: readyNote,
			spec: `containers: [{name: a, image: healthy, ports: [{name: http, containerPort: 80}]}]`,
			want: []string{
				`a: containers[0].readinessProbe {"tcpSocket":{"port":9},` + readyTiming + `, from the annotation "portcullis.dev/readiness-probe"`,
				`a: containers[0].livenessProbe {"tcpSocket":{"port":2}}` + fromCatalog,
				`a: containers[0].startupProbe {"tcpSocket":{"port":3}}` + fromCatalog,
			},
		},
		{
			name: "the catalog before the HEALTHCHECK", settings: catalog, spec: `containers: [{name: a, image: healthy}]`,
			want: []string{
				`a: containers[0].readinessProbe {"tcpSocket":{"port":1}}` + fromCatalog,
				`a: containers[0].livenessProbe {"tcpSocket":{"port":2}}` + fromCatalog,
				`a: containers[0].startupProbe {"tcpSocket":{"port":3}}` + fromCatalog,
			},
		},
		{
			name: "the HEALTHCHECK before the ports", spec: `containers: [{name: a, image: healthy, ports: [{name: http, containerPort: 80}]}]`,
			want:  []string{`a: containers[0].readinessProbe ` + healthyProbe + `, from the HEALTHCHECK of image "healthy"`},
			needs: []string{"healthy"},
		},
		{
			name: "a port where the image says nothing", spec: `containers: [{name: a, image: silent, ports: [{containerPort: 9}, {name: http, containerPort: 80}]}]`,
			want:  []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`},
			needs: []string{"silent"},
		},
		{name: "nothing speaks for a probe", spec: `containers: [{name: a, image: silent}]`, needs: []string{"silent"}},
		{
			name: "what the catalog restarts is asked for by name", settings: catalog + ", livenessSources: [Annotation]", spec: `containers: [{name: a, image: healthy}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":1}}` + fromCatalog},
		},
		{
			name: "and no other source is asked for what restarts", settings: catalog + ", livenessSources: [Healthcheck]", spec: `containers: [{name: a, image: healthy}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":1}}` + fromCatalog},
		},
		{
			name: "a catalog that knows the image decides alone", settings: "catalog: [{images: [docker.io/library/healthy], startup: {tcpSocket: {port: 3}}}]",
			spec: `containers: [{name: a, image: healthy, ports: [{containerPort: 80}]}]`,
			want: []string{`a: containers[0].startupProbe {"tcpSocket":{"port":3}}` + fromCatalog},
		},
		{
			name: "without the catalog", settings: catalog + ", sources: [Annotation, OnlyPort]", spec: `containers: [{name: a, image: healthy, ports: [{name: http, containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the only TCP port, 80`},
		},
		{name: "a probe that is there stays", spec: `containers: [{name: a, image: healthy, ` + ownReadiness + `, ports: [{containerPort: 80}]}]`},
		{
			name: "a probe that is there stays, the catalog adds what restarts", settings: catalog, spec: `containers: [{name: a, image: healthy, ` + ownReadiness + `}]`,
			want: []string{
				`a: containers[0].livenessProbe {"tcpSocket":{"port":2}}` + fromCatalog,
				`a: containers[0].startupProbe {"tcpSocket":{"port":3}}` + fromCatalog,
			},
		},
		{
			name: "who wrote a liveness probe has decided about restarts", settings: catalog, spec: `containers: [{name: a, image: healthy, ` + ownLiveness + `}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":1}}` + fromCatalog},
		},
		{
			name: "a startup probe that is there is enough for a liveness probe", settings: catalog,
			spec: `containers: [{name: a, image: healthy, startupProbe: {tcpSocket: {port: 7}}, ` + ownReadiness + `}]`,
			want: []string{`a: containers[0].livenessProbe {"tcpSocket":{"port":2}}` + fromCatalog},
		},
		{
			name: "all probes are there", settings: catalog + ", livenessSources: [Annotation, Catalog, Healthcheck]",
			spec: `containers: [{name: a, image: gone, startupProbe: {tcpSocket: {port: 7}}, ` + ownReadiness + `, ` + ownLiveness + `}]`,
		},
		{
			name: "init containers, sidecars and ephemeral containers", settings: catalog,
			spec: `initContainers: [{name: i, image: healthy, ports: [{containerPort: 80}]}, {name: s, image: healthy, restartPolicy: Always}, {name: s2, image: silent, restartPolicy: Always, ports: [{name: http, containerPort: 80}]}],
				containers: [{name: a, image: silent}], ephemeralContainers: [{name: e, image: healthy, ports: [{name: http, containerPort: 80}]}]`,
			want: []string{
				`s: initContainers[1].readinessProbe {"tcpSocket":{"port":1}}` + fromCatalog,
				`s: initContainers[1].livenessProbe {"tcpSocket":{"port":2}}` + fromCatalog,
				`s: initContainers[1].startupProbe {"tcpSocket":{"port":3}}` + fromCatalog,
			},
			needs: []string{"silent"},
		},
		{name: "a pod that is not restarted", spec: `restartPolicy: Never, containers: [{name: a, image: healthy, ports: [{name: http, containerPort: 80}]}]`},
		{name: "a container that may end", spec: `containers: [{name: a, image: healthy, restartPolicy: OnFailure, ports: [{name: http, containerPort: 80}]}]`},
		{
			name: "an image that somebody else fills in", spec: `containers: [{name: a, ports: [{name: http, containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`},
		},
		{
			name: "no answer, and no other source instead", spec: `containers: [{name: a, image: gone, ports: [{name: http, containerPort: 80}]}, {name: b, image: healthy}]`,
			want: []string{`b: containers[1].readinessProbe ` + healthyProbe + `, from the HEALTHCHECK of image "healthy"`},
			findings: []string{`unknown a containers[0].readinessProbe: no probe is added, since the HEALTHCHECK of the image is not known: ` +
				`image "gone" cannot be looked up: registry "docker.io" did not answer in time`},
			needs: []string{"gone", "healthy"},
		},
		{
			name: "a reference that is none", spec: `containers: [{name: a, image: EVIL//x}]`,
			findings: []string{`unknown a containers[0].readinessProbe: no probe is added, since the HEALTHCHECK of the image is not known: ` +
				`image "EVIL//x" cannot be looked up: registry "" gave an answer that is not valid`},
			needs: []string{"EVIL//x"},
		},
		{
			name: "nobody was asked", spec: `containers: [{name: a, image: never-asked, ports: [{name: http, containerPort: 80}]}]`,
			findings: []string{`unknown a containers[0].readinessProbe: no probe is added, since no registry was asked for the HEALTHCHECK of image "never-asked"`},
			needs:    []string{"never-asked"},
		},
		{
			name: "no answer is needed where the HEALTHCHECK is no source", settings: "sources: [NamedPort]", spec: `containers: [{name: a, image: gone, ports: [{name: http, containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`},
		},
		{
			name: "a shipped entry, for a container that declares the port", spec: `containers: [{name: a, image: "redis:7", ports: [{containerPort: 6379}, {name: http, containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":6379},` + readyTiming + `, from the catalog entry for docker.io/library/redis`},
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestProbesAreCopies requires that who changes a probe changes no other workload's.
func TestProbesAreCopies(t *testing.T) {
	settings := compile(t, "{probes: {livenessSources: [Healthcheck]}}").Probes
	facts := probeFacts()
	const manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: 'postgres:17', ports: [{containerPort: 5432}]}, {name: b, image: healthy}]}\n"
	var before []string
	for range 2 {
		w := decode(t, manifest)
		var r Recorder
		Probes(&r, w, settings, facts)
		if before == nil {
			before = explained(r.Edits())
		}
		if diff := cmp.Diff(before, explained(r.Edits())); diff != "" {
			t.Errorf("edits after another workload was changed (-before +after):\n%s", diff)
		}
		for i := range w.Spec.Containers {
			for _, p := range []*corev1.Probe{w.Spec.Containers[i].ReadinessProbe, w.Spec.Containers[i].LivenessProbe, w.Spec.Containers[i].StartupProbe} {
				if p != nil {
					p.PeriodSeconds, p.Exec.Command[0] = 77, "changed"
				}
			}
		}
	}
}

// TestProbesOfOtherKinds holds which kinds have long-running containers, T01.
func TestProbesOfOtherKinds(t *testing.T) {
	settings := compile(t, "{probes: {sources: [NamedPort]}}").Probes
	const container = "{name: a, image: b, ports: [{name: http, containerPort: 80}]}"
	for manifest, want := range map[string]int{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [%s]}\n":                                                      1,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {restartPolicy: OnFailure, containers: [%s]}\n":                            0,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [], ephemeralContainers: [%s]}\n":                             0,
		"apiVersion: v1\nkind: PodTemplate\nmetadata: {name: x}\ntemplate: {spec: {containers: [%s]}}\n":                                  1,
		"apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\nspec: {template: {spec: {containers: [%s]}}}\n":                1,
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {template: {spec: {containers: [%s]}}}\n":                     1,
		"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {template: {spec: {containers: [%s]}}}\n":                       1,
		"apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: [%s]}}}\n":                            0,
		"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [%s]}}}}}\n": 0,
		"apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\nspec: {}\n":                                                    0,
	} {
		_, edits, _ := prove(t, strings.Replace(manifest, "%s", container, 1), func(r *Recorder, w *pod.Workload) []pod.Finding { return Probes(r, w, settings, nil) })
		if len(edits) != want {
			t.Errorf("%s: got %d edits, want %d", manifest, len(edits), want)
		}
	}
}

// BenchmarkProbes is what a pod costs whose probes are there, and one that gets
// some by each source.
func BenchmarkProbes(b *testing.B) {
	const head = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: {a/b: c, d/e: f}}\nspec: {containers: ["
	facts := probeFacts()
	settings := compile(b, "{probes: {}}").Probes
	for _, bm := range []struct{ name, containers string }{
		{"there", "{name: a, image: healthy, readinessProbe: {tcpSocket: {port: 1}}}, {name: b, image: silent, readinessProbe: {tcpSocket: {port: 1}}}"},
		{"catalog", "{name: a, image: 'redis:7', ports: [{containerPort: 6379}]}, {name: b, image: 'postgres:17', ports: [{containerPort: 5432}]}"},
		{"healthcheck", "{name: a, image: healthy}, {name: b, image: shell}"},
		{"ports", "{name: a, image: silent, ports: [{containerPort: 80}]}, {name: b, image: silent, ports: [{name: http, containerPort: 80}]}"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			w := decode(b, head+bm.containers+"]}\n")
			before := w.DeepCopy()
			b.ReportAllocs()
			for b.Loop() {
				for i := range w.Spec.Containers {
					w.Spec.Containers[i].ReadinessProbe = before.Spec.Containers[i].ReadinessProbe
				}
				var r Recorder
				ProbeNeeds(w, settings)
				if findings := Probes(&r, w, settings, facts); len(findings) > 0 || (len(r.Edits()) == 2) == (bm.name == "there") {
					b.Fatal(findings, r.Edits())
				}
			}
		})
	}
}

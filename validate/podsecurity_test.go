package validate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/pod-security-admission/api"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
)

func TestPodSecurityExemptions(t *testing.T) {
	const spec = `
  containers:
  - {name: app, image: registry.example.com/app:1, securityContext: {privileged: %s}}
  - {name: istio-proxy, image: docker.io/istio/proxyv2:1.30, securityContext: {privileged: true}}
`
	for _, test := range []struct {
		name      string
		exemption policies.PodSecurityExemption
		app       string
		want      []string
	}{
		{name: "by container", app: "false", exemption: policies.PodSecurityExemption{Checks: []string{"privileged"}, Containers: []string{"istio-*"}}},
		{name: "by image", app: "false", exemption: policies.PodSecurityExemption{Checks: []string{"privileged"}, Images: []string{"istio/*"}}},
		{
			name: "a container that is not exempt is still found, and alone", app: "true",
			exemption: policies.PodSecurityExemption{Checks: []string{"privileged"}, Containers: []string{"istio-*"}},
			want:      []string{"privileged app spec.containers[0].securityContext.privileged"},
		},
		{
			name: "another check is not exempt", app: "false",
			exemption: policies.PodSecurityExemption{Checks: []string{"hostPorts"}, Containers: []string{"istio-*"}},
			want:      []string{"privileged istio-proxy spec.containers[1].securityContext.privileged"},
		},
		{
			name: "both container and image have to match", app: "false",
			exemption: policies.PodSecurityExemption{Checks: []string{"privileged"}, Containers: []string{"istio-*"}, Images: []string{"registry.example.com/*"}},
			want:      []string{"privileged istio-proxy spec.containers[1].securityContext.privileged"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := policies.Compile([]*policies.PodPolicy{policyWith(test.exemption)})
			if err != nil {
				t.Fatal(err)
			}
			match := set.Matching(nil, policies.Target{Namespace: "web", Kind: "Pod"})[0]
			w := decode(t, "apiVersion: v1\nkind: Pod\nspec:"+fmt.Sprintf(spec, test.app))
			var got []string
			for _, f := range PodSecurity(newEvaluator(t), w, match.Policy.PodSecurity) {
				got = append(got, fmt.Sprintf("%s %s %s", f.Check, f.Container, f.Path))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPodSecurityEdits has fixes that are right for sure, and those that are not.
func TestPodSecurityEdits(t *testing.T) {
	const unset = "seccompProfile: {type: RuntimeDefault}, "
	for _, test := range []struct {
		name, spec string
		want       map[string]string // by check, "choose" for none
	}{
		{"a value", "{hostPID: true, securityContext: {runAsNonRoot: true, " + unset + "}, containers: [" + hardened("a", "") + "]}", map[string]string{"hostNamespaces": "spec.hostPID: true -> <nil>"}},
		{"a user that the image may have", "{securityContext: {" + unset + "}, containers: [" + hardened("a", "") + "]}", map[string]string{"runAsNonRoot": "choose"}},
		{"a user that the manifest has", "{securityContext: {" + unset + "runAsUser: 7}, containers: [" + hardened("a", "") + "]}", map[string]string{"runAsNonRoot": "spec.securityContext.runAsNonRoot: <nil> -> true"}},
		{"a user that one of two containers has", "{securityContext: {" + unset + "}, containers: [" + hardened("a", "runAsUser: 7") + ", " + hardened("b", "") + "]}", map[string]string{"runAsNonRoot": "choose"}},
		{"a container that says otherwise", "{securityContext: {" + unset + "runAsNonRoot: true}, containers: [" + hardened("a", "runAsUser: 7, runAsNonRoot: false") + ", " + hardened("b", "") + "]}", map[string]string{"runAsNonRoot": "spec.containers[0].securityContext.runAsNonRoot: false -> true"}},
		{"root", "{securityContext: {" + unset + "runAsNonRoot: true, runAsUser: 0}, containers: [" + hardened("a", "") + "]}", map[string]string{"runAsUser": "choose"}},
		{"a volume", "{securityContext: {" + unset + "runAsNonRoot: true}, volumes: [{name: v, hostPath: {path: /v}}], containers: [" + hardened("a", "") + "]}", map[string]string{"restrictedVolumes": "choose"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := decode(t, "apiVersion: v1\nkind: Pod\nspec: "+test.spec+"\n")
			got := map[string]string{}
			for _, f := range PodSecurity(newEvaluator(t), w, settings(api.LevelRestricted)) {
				got[f.Check] = "choose"
				if e := f.Edit; e != nil {
					got[f.Check] = fmt.Sprintf("%s: %v -> %v", e.Path, e.Old, e.New)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
		})
	}
}

// hardened is a container that lacks nothing but what the pod says about its user.
func hardened(name, more string) string {
	return "{name: " + name + ", image: a, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, " + more + "}}"
}

// TestNamespaceLabels holds the meaning of labels against upstream's own
// reading of them.
func TestNamespaceLabels(t *testing.T) {
	const bad = "apiVersion: v1\nkind: Pod\nspec:\n  hostPID: true\n  containers: [{name: app, image: app}]\n"
	for _, test := range []struct {
		name, labels         string
		enforce, warn, audit int // findings
		err                  string
	}{
		{name: "no label"},
		{name: "enforce warns too unless told otherwise", labels: "enforce=baseline", enforce: 1, warn: 1},
		{name: "each mode has its level", labels: "enforce=privileged,warn=restricted,audit=baseline", warn: 5, audit: 1},
		{name: "a version before the check", labels: "enforce=restricted,enforce-version=v1.0", enforce: 2, warn: 2},
		{
			name: "an invalid enforce label is restricted", labels: "enforce=strict", enforce: 5,
			err: `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`,
		},
		{
			name: "an invalid warn label is privileged", labels: "warn=strict",
			err: `metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": must be one of privileged, baseline, restricted`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			labels := map[string]string{"team": "web"}
			for pair := range strings.SplitSeq(test.labels, ",") {
				if key, value, ok := strings.Cut(pair, "="); ok {
					labels["pod-security.kubernetes.io/"+key] = value
				}
			}
			got := NamespaceLabels(newEvaluator(t), decode(t, bad), labels)
			if len(got.Enforce) != test.enforce || len(got.Warn) != test.warn || len(got.Audit) != test.audit {
				t.Errorf("got %d enforced, %d warned, %d audited, want %d, %d, %d",
					len(got.Enforce), len(got.Warn), len(got.Audit), test.enforce, test.warn, test.audit)
			}
			if fmt.Sprint(got.Err) != test.err && (got.Err != nil || test.err != "") {
				t.Errorf("got error %v, want %s", got.Err, test.err)
			}
		})
	}
}

func BenchmarkPodSecurity(b *testing.B) {
	evaluator := newEvaluator(b)
	for _, name := range []string{"pass-restricted", "fail-runAsNonRoot", "fail-capabilities_restricted"} {
		w := read(b, "testdata/podSecurity/"+name+".yaml")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				PodSecurity(evaluator, w, settings(api.LevelRestricted))
			}
		})
		b.Run(name+"-upstream-alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				evaluator.Upstream().EvaluatePod(*settings(api.LevelRestricted).Level, w.Template, w.Spec)
			}
		})
	}
}

func settings(level api.Level) *policies.CompiledPodSecurity {
	return &policies.CompiledPodSecurity{Level: &api.LevelVersion{Level: level, Version: api.LatestVersion()}}
}

func policyWith(e policies.PodSecurityExemption) *policies.PodPolicy {
	p := &policies.PodPolicy{}
	p.Name = "example"
	p.Spec.Validate.PodSecurity = &policies.PodSecurity{
		Level: api.LevelBaseline, Exemptions: []policies.PodSecurityExemption{e},
	}
	return p
}

func newEvaluator(t testing.TB) *security.Evaluator {
	t.Helper()
	e, err := security.NewEvaluator()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func read(t testing.TB, file string) *pod.Workload {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(data))
}

func decode(t testing.TB, manifest string) *pod.Workload {
	t.Helper()
	w, err := pod.DecodeYAML([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

package security

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/pod"
)

// TestUpstreamFixtures holds the evaluator and the offences against every pod
// that upstream keeps as an example: the passing ones have no violation; for the
// failing ones the offences' edits, written as a patch for the raw object, make
// a pod that passes the check.
func TestUpstreamFixtures(t *testing.T) {
	evaluator := newEvaluator(t)
	fixtures, err := filepath.Glob(filepath.Join(upstreamFixtures(t), "*", "v*", "*", "*.yaml"))
	if err != nil || len(fixtures) < 1000 {
		t.Fatalf("found %d fixtures (%v), want more than 1000", len(fixtures), err)
	}
	for _, file := range fixtures {
		parts := strings.Split(filepath.ToSlash(file), "/")
		level, version, verdict, name := parts[len(parts)-4], parts[len(parts)-3], parts[len(parts)-2], parts[len(parts)-1]
		t.Run(strings.Join([]string{level, version, verdict, name}, "/"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			violations := evaluator.Evaluate(levelVersion(t, level, version), decode(t, raw))
			if verdict == "pass" {
				if len(violations) > 0 {
					t.Fatalf("got violations %v, want none", violations)
				}
				return
			}
			if len(violations) == 0 {
				t.Fatal("got no violation, want one")
			}
			for _, v := range violations {
				proveRepair(t, v, raw)
			}
		})
	}
}

// proveRepair applies the offences' edits to the raw object, as somebody would
// who follows the message, and asks upstream's check again.
func proveRepair(t *testing.T, v Violation, raw []byte) {
	t.Helper()
	offences := Offences(v, decode(t, raw))
	if len(offences) == 0 {
		t.Fatalf("%s: got no offence, want at least one", v.Check)
	}
	data, err := yaml.YAMLToJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	var edits []pod.Edit
	for _, o := range offences {
		edits = append(edits, o.Edit)
		if o.Fix == "" {
			t.Errorf("%s: %s has no fix", v.Check, o.Edit.Path)
		}
	}
	patch, err := pod.Patch(data, edits)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	repaired, err := operations.Apply(data)
	if err != nil {
		t.Fatalf("applying %s: %v", patch, err)
	}
	w := decode(t, repaired)
	if !v.Passes(w.Template, w.Spec) {
		t.Errorf("%s: still fails after %s", v.Check, patch)
	}
}

func TestOffences(t *testing.T) {
	for _, test := range []struct {
		name, check, spec string
		want              []string
	}{
		{
			name: "only the containers that offend, each in its own list", check: "privileged",
			spec: `
initContainers: [{name: init, securityContext: {privileged: true}}]
containers: [{name: a}, {name: b, securityContext: {privileged: true}}]
ephemeralContainers: [{name: debug, securityContext: {privileged: true}}]`,
			want: []string{
				"init: spec.initContainers[0].securityContext.privileged: true -> false: set it to false",
				"b: spec.containers[1].securityContext.privileged: true -> false: set it to false",
				"debug: spec.ephemeralContainers[0].securityContext.privileged: true -> false: set it to false",
			},
		}, {
			name: "the pod's field once, not every container's", check: "runAsNonRoot",
			spec: `containers: [{name: a}, {name: b}]`,
			want: []string{": spec.securityContext.runAsNonRoot: <nil> -> true: set it to true"},
		}, {
			name: "a container that says no although the pod says yes", check: "runAsNonRoot",
			spec: `
securityContext: {runAsNonRoot: true}
containers: [{name: a}, {name: b, securityContext: {runAsNonRoot: false}}]`,
			want: []string{"b: spec.containers[1].securityContext.runAsNonRoot: false -> true: set it to true"},
		}, {
			name: "the allowed capabilities stay", check: "capabilities_restricted",
			spec: `
containers:
- {name: a, securityContext: {capabilities: {add: [NET_ADMIN, NET_BIND_SERVICE], drop: [CHOWN]}}}`,
			want: []string{
				`a: spec.containers[0].securityContext.capabilities.add: [NET_ADMIN NET_BIND_SERVICE] -> [NET_BIND_SERVICE]: remove "NET_ADMIN"`,
				`a: spec.containers[0].securityContext.capabilities.drop: [CHOWN] -> [ALL]: set it to ["ALL"]`,
			},
		}, {
			name: "volumes by their type", check: "restrictedVolumes",
			spec: `
volumes:
- {name: config, configMap: {name: c}}
- {name: run, hostPath: {path: /var/run}}
- {name: share, nfs: {server: s, path: /}}`,
			want: []string{
				": spec.volumes[1].hostPath: /var/run -> <nil>: use a volume of type configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret",
				": spec.volumes[2].nfs: {s / false} -> <nil>: use a volume of type configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret",
			},
		}, {
			name: "sysctls", check: "sysctls",
			spec: `securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}, {name: net.ipv4.tcp_syncookies, value: "1"}]}`,
			want: []string{`: spec.securityContext.sysctls: [kernel.msgmax net.ipv4.tcp_syncookies] -> [net.ipv4.tcp_syncookies]: remove "kernel.msgmax"`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := decode(t, []byte("apiVersion: v1\nkind: Pod\nspec:\n"+indent(test.spec)))
			var got []string
			for _, v := range newEvaluator(t).Evaluate(levelVersion(t, "restricted", "latest"), w) {
				if string(v.Check) != test.check {
					continue
				}
				for _, o := range Offences(v, w) {
					got = append(got, fmt.Sprintf("%s: %s: %v -> %v: %s", o.Container, o.Edit.Path, o.Edit.Old, o.Edit.New, o.Fix))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("offences (-want +got):\n%s", diff)
			}
		})
	}
}

func newEvaluator(t testing.TB) *Evaluator {
	t.Helper()
	e, err := NewEvaluator()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func levelVersion(t testing.TB, level, version string) api.LevelVersion {
	t.Helper()
	l, err := api.ParseLevel(level)
	if err != nil {
		t.Fatal(err)
	}
	v, err := api.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	return api.LevelVersion{Level: l, Version: v}
}

func decode(t testing.TB, data []byte) *pod.Workload {
	t.Helper()
	w, err := pod.DecodeYAML(data)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\n  ")
}

// upstreamFixtures is the folder of upstream's example pods in the module cache.
func upstreamFixtures(t testing.TB) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatalf("finding the module with upstream's fixtures: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(dir)), "test", "testdata")
}

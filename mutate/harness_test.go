package mutate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/podtest"
	"github.com/portcullis-dev/portcullis/policies"
)

// mutator is one mutator, with its settings and the facts that it has.
type mutator func(r *Recorder, w *pod.Workload) []pod.Finding

// mutators are all of this package, each with the settings of its section.
func mutators(c *policies.Compiled, facts image.Facts) map[string]mutator {
	return map[string]mutator{
		DigestsRule: func(r *Recorder, w *pod.Workload) []pod.Finding {
			return Digests(r, Scope{Workload: w}, facts)
		},
		ProbesRule: func(r *Recorder, w *pod.Workload) []pod.Finding {
			return Probes(r, w, c.Probes, facts)
		},
		LoggingRule: func(r *Recorder, w *pod.Workload) []pod.Finding {
			return Logging(r, w, c.Logging, facts)
		},
		HardeningRule: func(r *Recorder, w *pod.Workload) []pod.Finding {
			return Harden(r, w, c.Hardening, facts)
		},
	}
}

// everything has all sections with what is off by default on too.
const everything = "{digests: {}, probes: {}, logging: {}, hardening: {fields: [allowPrivilegeEscalation, capabilities, seccompProfile, runAsNonRoot, runAsUser, automountServiceAccountToken, readOnlyRootFilesystem]}}"

// TestEveryMutatorTwice runs every mutator on random pods of every kind: see prove.
func TestEveryMutatorTwice(t *testing.T) {
	compiled := compile(t, everything)
	for name, facts := range map[string]image.Facts{"facts": worldFacts(), "no facts": nil} {
		for rule, mutate := range mutators(compiled, facts) {
			t.Run(rule+"/"+name, func(t *testing.T) {
				g := podtest.New(17, imagesOf(worldFacts())...)
				edited := 0
				for _, kind := range pod.Kinds() {
					for range 20 {
						_, edits, _ := proveRaw(t, kind, g.Object(kind), mutate)
						edited += len(edits)
					}
				}
				if edited == 0 && facts != nil {
					t.Error("got no edit of any pod, want some")
				}
			})
		}
	}
}

// prove runs a mutator on a manifest and requires of it what holds for all: that
// it finds nothing left to edit in a second pass, does the same to an equal
// workload, and that its patch, applied to the bytes of the object, makes what it
// made of the workload, in which there is nothing left to edit either.
func prove(t testing.TB, manifest string, mutate mutator) (w *pod.Workload, edits []Edit, findings []pod.Finding) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return proveRaw(t, decode(t, manifest).Kind, raw, mutate)
}

func proveRaw(t testing.TB, kind pod.Kind, raw []byte, mutate mutator) (w *pod.Workload, edits []Edit, findings []pod.Finding) {
	t.Helper()
	w, err := pod.Decode(kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	twin := w.DeepCopy()
	edits, findings = twice(t, func(r *Recorder) []pod.Finding { return mutate(r, w) })
	var r Recorder
	mutate(&r, twin)
	if diff := cmp.Diff(explained(edits), explained(r.Edits())); diff != "" {
		t.Fatalf("edits of two equal workloads (-first +second):\n%s\nof %.1000s", diff, raw)
	}
	patched, err := pod.Decode(kind, apply(t, raw, edits))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{w.Metadata, w.Template, w.Spec}, []any{patched.Metadata, patched.Template, patched.Spec}); diff != "" {
		t.Fatalf("%s (-mutated +patched):\n%s\nof %.1000s", kind.Name, diff, raw)
	}
	var again Recorder
	if mutate(&again, patched); len(again.Edits()) > 0 {
		t.Fatalf("got edits %v of what was patched, want none", explained(again.Edits()))
	}
	return w, edits, findings
}

// twice runs a mutator two times and requires that the second finds nothing left
// to edit.
func twice(t testing.TB, mutate func(*Recorder) []pod.Finding) (edits []Edit, findings []pod.Finding) {
	t.Helper()
	var first, second Recorder
	findings = mutate(&first)
	if mutate(&second); len(second.Edits()) > 0 {
		t.Errorf("got edits %v in a second pass, want none", explained(second.Edits()))
	}
	return first.Edits(), findings
}

// written are edits as "path value"; a value that is no text is in JSON.
func written(edits []Edit) []string {
	var lines []string
	for _, e := range edits {
		value, ok := e.New.(string)
		if !ok {
			data, err := json.Marshal(e.New)
			if err != nil {
				panic(err) // what is patched has a JSON form
			}
			value = string(data)
		}
		lines = append(lines, e.Path.String()+" "+value)
	}
	return lines
}

// explained are edits as "container: path value, from evidence".
func explained(edits []Edit) []string {
	lines := written(edits)
	for i, e := range edits {
		lines[i] = fmt.Sprintf("%s: %s, from %s", e.Container, lines[i], e.Evidence)
	}
	return lines
}

// apply applies the patch for edits to the bytes of their object.
func apply(t testing.TB, raw []byte, edits []Edit) []byte {
	t.Helper()
	patch, err := pod.Patch(raw, changes(edits))
	if err != nil {
		t.Fatal(err)
	}
	if patch == nil {
		return raw
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := operations.Apply(raw)
	if err != nil {
		t.Fatalf("applying %s to %s: %v", patch, raw, err)
	}
	return patched
}

func changes(edits []Edit) []pod.Edit {
	var all []pod.Edit
	for _, e := range edits {
		all = append(all, e.Edit)
	}
	return all
}

func decode(t testing.TB, manifest string) *pod.Workload {
	t.Helper()
	w, err := pod.DecodeYAML([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// compile is a policy with the given spec.mutate.
func compile(t testing.TB, mutate string) *policies.Compiled {
	t.Helper()
	list, err := policies.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: "+mutate+"}\n"), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return set.Matching(nil, policies.Target{Namespace: "web", Kind: "Pod"})[0].Policy
}

// worldFacts are images of every sort, by their references.
func worldFacts() image.Facts {
	linux := func(arch, user string, uid int64) image.Platform {
		return image.Platform{
			OS: "linux", Architecture: arch, User: user, UID: uid,
			Env:          []string{"PATH=/usr/local/bin:/usr/bin", "PYTHON_VERSION=3.12.4", "DOTNET_VERSION=8.0.6"},
			ExposedPorts: []image.Port{{Number: 8080, Protocol: "TCP"}},
			Healthcheck:  &image.Healthcheck{Command: []string{"/bin/healthy"}, Interval: 10 * time.Second, StartPeriod: time.Minute},
		}
	}
	unreadable := linux("amd64", "app", image.UnknownUID)
	unreadable.UIDErr = &image.Error{Reason: image.PasswdUnreadable, Image: "unreadable:1"}
	facts := image.Facts{}
	for name, platforms := range map[string][]image.Platform{
		"root:1":                {linux("amd64", "", 0)},
		"number:1":              {linux("amd64", "1000", 1000), linux("arm64", "1000", 1000)},
		"name:1":                {linux("amd64", "app", 999), linux("arm64", "app", 999)},
		"two-names:1":           {linux("amd64", "app", 999), linux("arm64", "app", 998)},
		"unreadable:1":          {unreadable},
		"postgres:16":           {linux("amd64", "", 0)},
		"python:3.12":           {{OS: "linux", Architecture: "amd64", Env: []string{"PYTHON_VERSION=3.12.4"}}},
		"mcr.example.com/win:1": {{OS: "windows", Architecture: "amd64", Selected: true}},
	} {
		facts[name] = image.Fact{Image: name, Digest: "sha256:" + strings.Repeat("d", 64), Platforms: platforms}
	}
	facts["gone:1"] = image.Fact{Image: "gone:1", Err: &image.Error{Reason: image.Timeout, Image: "gone:1", Host: "docker.io"}}
	return facts
}

func imagesOf(facts image.Facts) []string {
	images := []string{"EVIL//x", "", "number@" + "sha256:" + strings.Repeat("d", 64)}
	for name := range facts {
		images = append(images, name)
	}
	slices.Sort(images)
	return images
}

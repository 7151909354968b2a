package engine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/podtest"
	"github.com/portcullis-dev/portcullis/policies"
)

// everything is a policy with all mutators and all that they can do.
const everything = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: everything}
spec:
  onRegistryError: Allow
  mutate:
    digests: {}
    probes: {livenessSources: [Annotation, Catalog, Healthcheck]}
    logging: {}
    hardening:
      fields: [allowPrivilegeEscalation, capabilities, seccompProfile, runAsNonRoot, runAsUser, automountServiceAccountToken, readOnlyRootFilesystem]
`

// world are the images of random pods: what one says is a matter of its name and
// of the round.
type world struct{ round int }

func worldImages() []string {
	return []string{
		"app:1", "app:2", "web", "registry.example.com/team/shop:7", "nginx:1.27", "postgres:16", "redis:7.2", "python:3.12", "ruby:3.3",
		"node:22", "mcr.microsoft.com/dotnet/aspnet:8.0", "gcr.io/distroless/static", "BAD//image", "",
		"app:1@sha256:" + strings.Repeat("7", 64),
	}
}

// facts answers needs. Some answers are missing, and some registries are down.
func (w world) facts(needs []image.Need) image.Facts {
	facts := image.Facts{}
	for _, need := range needs {
		facts[need.Image] = w.fact(need.Image)
	}
	return facts
}

func (w world) fact(reference string) image.Fact {
	_, digest, _ := strings.Cut(reference, "@")
	fail := func(reason image.Reason) image.Fact {
		return image.Fact{Image: reference, Digest: digest, Err: &image.Error{Reason: reason, Image: reference, Host: "docker.io"}}
	}
	ref, err := image.ParseReference(reference)
	if err != nil {
		return fail(image.InvalidReference)
	}
	h := fnv.New32()
	fmt.Fprint(h, ref.Name(), ref.Tag(), w.round)
	random := h.Sum32()
	switch random % 9 {
	case 0:
		return fail(image.Timeout)
	case 1:
		return image.Fact{} // nobody asked
	case 2:
		return fail(image.NotFound)
	}
	if digest == "" {
		digest = "sha256:" + strings.Repeat(fmt.Sprintf("%08x", random), 8)
	}
	users := []image.Platform{
		{User: "", UID: 0},
		{User: "1000", UID: 1000},
		{User: "app", UID: 999},
		{User: "app:app", UID: 999},
		{User: "gone", UID: image.UnknownUID, UIDErr: &image.Error{Reason: image.UserNotFound, Image: reference}},
	}
	says := users[random/9%5]
	says.Env = []string{"PATH=/usr/bin", "PYTHON_VERSION=3.12.4", "RUBY_VERSION=3.3.1", "NODE_VERSION=22.1.0", "DOTNET_VERSION=8.0.6"}[:random/45%6]
	if random/270%2 == 0 {
		says.ExposedPorts = []image.Port{{Number: 80, Protocol: "TCP"}, {Number: 8080, Protocol: "TCP"}}[random/540%2:]
	}
	if random/1080%2 == 0 {
		says.Healthcheck = &image.Healthcheck{Command: []string{"/bin/healthy"}, Interval: 5 * time.Second, Timeout: time.Second, StartPeriod: time.Minute, Retries: 3}
	}
	fact := linuxImage(says)
	fact.Image, fact.Digest = reference, digest
	if random/2160%4 == 0 {
		fact.Platforms = append(fact.Platforms, image.Platform{OS: "windows", Architecture: "amd64", Selected: true})
	}
	return fact
}

// mutated is what all mutators together make of an object.
type mutated struct {
	before, after []byte
	workload      *pod.Workload // after
	verdict       Verdict
}

func mutateBytes(t *testing.T, e *Engine, set *policies.Set, r Review, raw []byte, w world) mutated {
	t.Helper()
	r.Workload = mustDecode(t, r.Workload.Kind, raw)
	r.Namespace.Name = "web"
	p := e.Plan(r, set)
	v := p.Mutate(w.facts(p.MutationNeeds()))
	return mutated{before: raw, after: patched(t, raw, v), workload: r.Workload, verdict: v}
}

func mustDecode(t *testing.T, kind pod.Kind, raw []byte) *pod.Workload {
	t.Helper()
	w, err := pod.Decode(kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestMutatorsOnRandomPods holds what must be so whatever a pod looks like and
// whatever registries say: for random pods of all nine kinds, with all mutators on.
func TestMutatorsOnRandomPods(t *testing.T) {
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	set := compile(t, everything)
	g := podtest.New(23, worldImages()...)
	passing := map[string]int{}
	rules := map[string]int{}
	for round := range 60 {
		w := world{round}
		for _, kind := range pod.Kinds() {
			raw := g.Object(kind)
			review := Review{Workload: &pod.Workload{Kind: kind}}
			m := mutateBytes(t, e, set, review, raw, w)
			for _, edit := range m.verdict.Edits {
				rules[edit.Rule]++
			}
			again := mutateBytes(t, e, set, review, m.after, w)
			if len(again.verdict.Edits) > 0 {
				t.Fatalf("got edits %v in a second pass, want none, of %.1500s", again.verdict.Edits, raw)
			}
			if diff := cmp.Diff(m.workload, again.workload, cmp.AllowUnexported(pod.Kind{})); diff != "" {
				t.Fatalf("%s (-mutated +patched):\n%s", kind.Name, diff)
			}
			requireKept(t, m)
			countPassing(t, e, m, passing)
		}
	}
	t.Logf("edits by rule: %v; pods that passed before and after: %v", rules, passing)
	for _, rule := range []string{"digests", "probes", "logging", "hardening"} {
		if rules[rule] < 50 {
			t.Errorf("got %d edits of %s, want enough to say something", rules[rule], rule)
		}
	}
	for _, level := range []string{"baseline:latest", "restricted:latest", "baseline:v1.18", "restricted:v1.18"} {
		if passing[level] < 100 {
			t.Errorf("got %d pods that passed %s, want enough to say something", passing[level], level)
		}
	}
}

// countPassing requires that a pod passes each level that it passed before.
func countPassing(t *testing.T, e *Engine, m mutated, passing map[string]int) {
	t.Helper()
	before := mustDecode(t, m.workload.Kind, m.before)
	for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
		for _, version := range []api.Version{api.LatestVersion(), api.MajorMinorVersion(1, 18), api.MajorMinorVersion(1, 24)} {
			lv := api.LevelVersion{Level: level, Version: version}
			if len(e.evaluator.Evaluate(lv, before)) > 0 {
				continue
			}
			passing[lv.String()]++
			if violations := e.evaluator.Evaluate(lv, m.workload); len(violations) > 0 {
				t.Fatalf("%s passed %s before, and now violates %s (%s):\n%.2000s", m.workload.Kind.Name, lv, violations[0].Check, violations[0].Detail, m.after)
			}
		}
	}
}

// requireKept requires that everything of the object before is there after, at the
// same place: no value of a user's is changed, and nothing in a list moves. Images
// get digests, which are added to what was written, and of ephemeral containers
// nothing else changes.
func requireKept(t *testing.T, m mutated) {
	t.Helper()
	var before, after any
	for data, into := range map[*[]byte]*any{&m.before: &before, &m.after: &after} {
		if err := json.Unmarshal(*data, into); err != nil {
			t.Fatal(err)
		}
	}
	if lost := firstLost("", before, after); lost != "" {
		t.Fatalf("%s: %s; edits: %v; of %.1500s", m.workload.Kind.Name, lost, m.verdict.Edits, m.before)
	}
	old := mustDecode(t, m.workload.Kind, m.before)
	was := old.Spec.EphemeralContainers
	for i, now := range m.workload.Spec.EphemeralContainers {
		now.Image = was[i].Image
		if diff := cmp.Diff(was[i], now); diff != "" {
			t.Fatalf("ephemeral container (-before +after):\n%s", diff)
		}
	}
	now := effective(m.workload)
	for field, value := range effective(old) {
		if now[field] != value {
			t.Fatalf("%s: %s was %s and is %s; edits: %v", m.workload.Kind.Name, field, value, now[field], m.verdict.Edits)
		}
	}
}

// effective are the fields that containers have or take from their pod, where one
// of the two is set: to set it at the container would take the pod's away.
func effective(w *pod.Workload) map[string]string {
	fields := map[string]string{}
	for c := range w.Containers() {
		ofContainer, ofPod := c.SecurityContext, w.Spec.SecurityContext
		if ofContainer == nil {
			ofContainer = &corev1.SecurityContext{}
		}
		if ofPod == nil {
			ofPod = &corev1.PodSecurityContext{}
		}
		for field, values := range map[string][2]any{
			"runAsUser":      {ofContainer.RunAsUser, ofPod.RunAsUser},
			"runAsNonRoot":   {ofContainer.RunAsNonRoot, ofPod.RunAsNonRoot},
			"runAsGroup":     {ofContainer.RunAsGroup, ofPod.RunAsGroup},
			"seccompProfile": {ofContainer.SeccompProfile, ofPod.SeccompProfile},
		} {
			for _, value := range values {
				if !reflect.ValueOf(value).IsNil() {
					fields[c.Name+"."+field] = Quote(value)
					break
				}
			}
		}
	}
	return fields
}

// firstLost names the first value of before that is another one after, or gone.
func firstLost(path string, before, after any) string {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s was an object and is %v", path, after)
		}
		for key, value := range b {
			if lost := firstLost(path+"."+key, value, a[key]); lost != "" {
				return lost
			}
		}
	case []any:
		a, ok := after.([]any)
		if !ok || len(a) < len(b) {
			return fmt.Sprintf("%s was a list of %d and is %v", path, len(b), after)
		}
		for i, value := range b {
			if lost := firstLost(fmt.Sprintf("%s[%d]", path, i), value, a[i]); lost != "" {
				return lost
			}
		}
	default:
		if !reflect.DeepEqual(before, after) && !mayReplace(path, before, after) {
			return fmt.Sprintf("%s was %v and is %v", path, before, after)
		}
	}
	return ""
}

// mayReplace are the values that a mutator may replace: an image by itself with a
// digest, and the termination message policy that the API server fills in, which
// cannot be told from one that somebody wrote.
func mayReplace(path string, before, after any) bool {
	old, _ := before.(string)
	updated, _ := after.(string)
	switch {
	case strings.HasSuffix(path, ".image"), strings.HasSuffix(path, ".image.reference"):
		tag, digest, pinned := strings.Cut(updated, "@")
		return pinned && strings.HasPrefix(digest, "sha256:") && (tag == old || tag == old+":latest")
	case strings.HasSuffix(path, ".terminationMessagePolicy"):
		return old == string(corev1.TerminationMessageReadFile) && updated == string(corev1.TerminationMessageFallbackToLogsOnError)
	}
	return false
}

// TestMutatorsLeaveAlone goes through what must not change at all, or in nothing
// but digests that it had before.
func TestMutatorsLeaveAlone(t *testing.T) {
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	set := compile(t, everything)
	g := podtest.New(29, worldImages()...)
	changed := 0
	for round := range 50 {
		w := world{round}
		for _, kind := range pod.Kinds() {
			raw := g.Object(kind)
			old := mustDecode(t, kind, g.Object(kind))
			switch kind.Name {
			case "Pod":
				mirror := mustDecode(t, kind, raw)
				mirror.Metadata.Annotations = map[string]string{pod.MirrorAnnotation: "x"}
				p := e.Plan(Review{Workload: mirror, Namespace: Namespace{Name: "web"}}, set)
				requireNoEdits(t, "a mirror pod", p.Mutate(w.facts(p.MutationNeeds())))
				m := mutateBytes(t, e, set, Review{Workload: &pod.Workload{Kind: kind}, Old: old}, raw, w)
				requireOnlyImages(t, "a pod on UPDATE", m.verdict)
			case "Job":
				m := mutateBytes(t, e, set, Review{Workload: &pod.Workload{Kind: kind}, Old: old}, raw, w)
				requireOnlyImages(t, "a Job on UPDATE", m.verdict)
				for _, edit := range m.verdict.Edits {
					if value := fmt.Sprint(edit.New); !strings.Contains(value, "@sha256:"+strings.Repeat("7", 64)) {
						t.Fatalf("got %s of a Job on UPDATE, want only digests that it had", edit)
					}
				}
			default:
				same := mutateBytes(t, e, set, Review{Workload: &pod.Workload{Kind: kind}, Old: mustDecode(t, kind, raw)}, raw, w)
				requireNoEdits(t, "an update that leaves the template as it was", same.verdict)
				changed += len(mutateBytes(t, e, set, Review{Workload: &pod.Workload{Kind: kind}, Old: old}, raw, w).verdict.Edits)
			}
		}
	}
	if changed < 300 {
		t.Errorf("got %d edits of templates that change, want enough to say something", changed)
	}
}

func requireNoEdits(t *testing.T, what string, v Verdict) {
	t.Helper()
	if len(v.Edits)+len(v.Proposed) > 0 {
		t.Fatalf("got edits %v of %s, want none", v.Edits, what)
	}
}

func requireOnlyImages(t *testing.T, what string, v Verdict) {
	t.Helper()
	for _, edit := range v.Edits {
		if edit.Rule != "digests" {
			t.Fatalf("got %s of %s, want only digests", edit, what)
		}
	}
}

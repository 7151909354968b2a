package mutate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/randfill"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func TestDigests(t *testing.T) {
	const object = `apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - {name: init, image: "busybox:1.36"}
      - {name: side, image: "proxy", restartPolicy: Always}
      containers:
      - {name: app, image: "registry.example.com/app:1"}
      - {name: pinned, image: "registry.example.com/app:1@%s"}
      - {name: later}
      volumes:
      - {name: model, image: {reference: "registry.example.com/model:7"}}
`
	w := decode(t, fmt.Sprintf(object, digestB))
	facts := image.Facts{
		"busybox:1.36":                 {Digest: digestA},
		"proxy":                        {Digest: digestA},
		"registry.example.com/app:1":   {Digest: digestA},
		"registry.example.com/model:7": {Digest: digestB},
	}
	s := Scope{Workload: w}
	needs := map[string]bool{}
	for _, n := range DigestNeeds(s) {
		needs[n.Image] = n.Digest
	}
	for name := range facts {
		if !needs[name] {
			t.Errorf("got no need for the digest of %s, want one", name)
		}
	}
	if len(needs) != len(facts) {
		t.Errorf("got needs %v, want those of %v", needs, facts)
	}
	edits, findings := digestsTwice(t, s, facts)
	if len(findings) > 0 {
		t.Errorf("got findings %v, want none", findings)
	}
	want := []string{
		"spec.template.spec.initContainers[0].image busybox:1.36@" + digestA,
		"spec.template.spec.initContainers[1].image proxy:latest@" + digestA,
		"spec.template.spec.containers[0].image registry.example.com/app:1@" + digestA,
		"spec.template.spec.volumes[0].image.reference registry.example.com/model:7@" + digestB,
		`metadata.annotations["portcullis.dev/pinned"] app=aaaaaaaaaaaa,init=aaaaaaaaaaaa,model=bbbbbbbbbbbb,side=aaaaaaaaaaaa`,
	}
	if diff := cmp.Diff(want, edits); diff != "" {
		t.Errorf("edits (-want +got):\n%s", diff)
	}
}

func TestDigestsStick(t *testing.T) {
	const object = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: %s, image: '%s'}]\n"
	for _, test := range []struct{ name, oldName, old, updated, want string }{
		{"the same tag keeps its digest", "app", "docker.io/library/app:1@" + digestB, "app:1", "app:1@" + digestB},
		{"another tag is resolved", "app", "app:1@" + digestB, "app:2", "app:2@" + digestA},
		{"another repository is resolved", "app", "other/app:1@" + digestB, "app:1", "app:1@" + digestA},
		{"another container is resolved", "web", "app:1@" + digestB, "app:1", "app:1@" + digestA},
		{"a tag that was not pinned is resolved", "app", "app:1", "app:1", "app:1@" + digestA},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Scope{
				Workload: decode(t, fmt.Sprintf(object, "app", test.updated)),
				Old:      decode(t, fmt.Sprintf(object, test.oldName, test.old)),
			}
			asked := len(DigestNeeds(s)) > 0
			if resolved := strings.HasSuffix(test.want, digestA); asked != resolved {
				t.Errorf("got asked %v, want %v", asked, resolved)
			}
			digestsTwice(t, s, image.Facts{test.updated: {Digest: digestA}})
			if got := s.Workload.Spec.Containers[0].Image; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestDigestsAreRefreshedOnRequest(t *testing.T) {
	const object = `apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/pinned: "app=bbbbbbbbbbbb", %s}}
spec: {template: {metadata: {annotations: {%s}}, spec: {containers: [{name: app, image: "%s"}, {name: theirs, image: "app:1@%s"}]}}}
`
	const restarted = `kubectl.kubernetes.io/restartedAt: "now"`
	old := decode(t, fmt.Sprintf(object, "", "", "app:1@"+digestB, digestB))
	for _, test := range []struct {
		name, metadata, template, image string
		facts                           image.Facts
		want                            string
		finding                         bool
	}{
		{name: "rollout restart", template: restarted, image: "app:1@" + digestB, facts: image.Facts{"app:1": {Digest: digestA}}, want: "app:1@" + digestA},
		{name: "the annotation", metadata: "portcullis.dev/refresh: '1'", image: "app:1@" + digestB, facts: image.Facts{"app:1": {Digest: digestA}}, want: "app:1@" + digestA},
		{name: "the annotation of the template", template: "portcullis.dev/refresh: '1'", image: "app:1", facts: image.Facts{"app:1": {Digest: digestA}}, want: "app:1@" + digestA},
		{name: "a tag that has not moved", template: restarted, image: "app:1@" + digestB, facts: image.Facts{"app:1": {Digest: digestB}}, want: "app:1@" + digestB},
		{name: "a registry that does not answer", template: restarted, image: "app:1@" + digestB, facts: image.Facts{}, want: "app:1@" + digestB, finding: true},
		{name: "nobody asked", image: "app:1@" + digestB, want: "app:1@" + digestB},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Scope{Workload: decode(t, fmt.Sprintf(object, test.metadata, test.template, test.image, digestB)), Old: old}
			for _, n := range DigestNeeds(s) {
				if _, known := test.facts[n.Image]; !known && !test.finding {
					t.Errorf("got a need for %s, want none", n.Image)
				}
				if !n.Fresh {
					t.Errorf("got a need for %s that takes what is remembered, want a fresh one", n.Image)
				}
			}
			var r Recorder
			findings := Digests(&r, s, test.facts)
			containers := s.Workload.Spec.Containers
			if containers[0].Image != test.want || containers[1].Image != "app:1@"+digestB {
				t.Errorf("got %s and %s, want %s and what they wrote", containers[0].Image, containers[1].Image, test.want)
			}
			if (len(findings) > 0) != test.finding || test.finding && !findings[0].Advisory {
				t.Errorf("got findings %v, want one that is advisory: %v", findings, test.finding)
			}
		})
	}
}

// TestDigestsOfOthersStay goes through updates that ask for a refresh and bring
// a digest that is not the recorded one: it stays.
func TestDigestsOfOthersStay(t *testing.T) {
	const object = `apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/pinned: "app=aaaaaaaaaaaa,gone=aaaaaaaaaaaa", portcullis.dev/refresh: "%s"}}
spec: {template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: "%s"}}, spec: {containers: [{name: app, image: "app:1@%s"}]}}}
`
	for _, test := range []struct{ name, old, updated, record string }{
		// kubectl rollout undo brings the former template back, annotations and all.
		{"rollout undo", fmt.Sprintf(object, "", "later", digestA), fmt.Sprintf(object, "", "earlier", digestB), ""},
		{"a digest that was written by hand", fmt.Sprintf(object, "1", "", digestA), fmt.Sprintf(object, "2", "", digestB), ""},
		{"a restart of what was written by hand", fmt.Sprintf(object, "", "", digestB), fmt.Sprintf(object, "", "now", digestB), ""},
		{"an annotation that is taken away", fmt.Sprintf(object, "1", "now", digestA), fmt.Sprintf(object, "", "", digestA), "app=aaaaaaaaaaaa"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Scope{Workload: decode(t, test.updated), Old: decode(t, test.old)}
			want := s.Workload.Spec.Containers[0].Image
			if needs := DigestNeeds(s); len(needs) > 0 {
				t.Errorf("got needs %v, want none", needs)
			}
			digestsTwice(t, s, image.Facts{"app:1": {Digest: "sha256:" + strings.Repeat("c", 64)}})
			if got := s.Workload.Spec.Containers[0].Image; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := s.Workload.Metadata.Annotations[PinnedAnnotation]; got != test.record {
				t.Errorf("got record %q, want %q", got, test.record)
			}
		})
	}
}

// TestT40PinnedTemplate requires that a pod that a controller makes of a pinned
// template is left as it is, though the tag has moved since.
func TestT40PinnedTemplate(t *testing.T) {
	const spec = "{containers: [{name: app, image: 'app:1'}]}"
	deployment := decode(t, "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: "+spec+"}}\n")
	digestsTwice(t, Scope{Workload: deployment}, image.Facts{"app:1": {Digest: digestA}})
	made := decode(t, "apiVersion: v1\nkind: Pod\nspec: "+spec+"\n")
	made.Spec = deployment.Spec.DeepCopy()
	s := Scope{Workload: made}
	if needs := DigestNeeds(s); len(needs) > 0 {
		t.Errorf("got needs %v, want none", needs)
	}
	if edits, _ := digestsTwice(t, s, image.Facts{"app:1": {Digest: digestB}}); len(edits) > 0 {
		t.Errorf("got edits %v, want none", edits)
	}
}

// TestPatchOfEveryKind holds the patched raw object of each kind against the
// mutated one, in the metadata that is added too, and patches it once more.
func TestPatchOfEveryKind(t *testing.T) {
	fill := randfill.NewWithSeed(11).NilChance(.5).NumElements(1, 3).MaxDepth(9)
	facts := image.Facts{"app:1": {Digest: digestA}}
	for _, kind := range pod.Kinds() {
		for range 20 {
			spec := corev1.PodSpec{}
			fill.Fill(&spec)
			spec.Volumes, spec.InitContainers, spec.EphemeralContainers = nil, nil, nil
			spec.Containers = []corev1.Container{{Name: "app", Image: "app:1"}}
			var object any = map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}}, "spec": spec, "fromTheFuture": 1}
			path := strings.Split(kind.Template().String(), ".")
			for i := len(path) - 1; i >= 0 && path[i] != ""; i-- {
				object = map[string]any{path[i]: object}
			}
			raw, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			w, err := pod.Decode(kind, raw)
			if err != nil {
				t.Fatal(err)
			}
			var r Recorder
			Digests(&r, Scope{Workload: w}, facts)
			patched := apply(t, raw, r.Edits())
			again, err := pod.Decode(kind, patched)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]any{w.Metadata, w.Spec}, []any{again.Metadata, again.Spec}); diff != "" {
				t.Fatalf("%s (-mutated +patched):\n%s", kind.Name, diff)
			}
			var second Recorder
			if Digests(&second, Scope{Workload: again}, facts); len(second.Edits()) > 0 || !strings.Contains(string(patched), "fromTheFuture") {
				t.Fatalf("%s: got edits %v of %s, want none, and the unknown field", kind.Name, second.Edits(), patched)
			}
		}
	}
}

// TestUndo goes through what kubectl rollout undo brings back: the template with
// its restart and its digest, and the annotations of that time.
func TestUndo(t *testing.T) {
	at := func(hour int, recorded, digest string) *pod.Workload {
		return decode(t, fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/pinned: "app=%s"}}
spec: {template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: "2026-01-01T%02d:00:00Z"}}, spec: {containers: [{name: app, image: "app:1@%s"}]}}}
`, recorded, hour, digest))
	}
	facts := image.Facts{"app:1": {Digest: "sha256:" + strings.Repeat("c", 64)}}
	undone := at(1, "bbbbbbbbbbbb", digestB)
	s := Scope{Workload: undone, Old: at(2, "aaaaaaaaaaaa", digestA)}
	if edits, _ := digestsTwice(t, s, facts); len(edits) > 0 {
		t.Errorf("got edits %v of what undo brought back, want none", edits)
	}
	same := Scope{Workload: at(1, "aaaaaaaaaaaa", digestA), Old: at(2, "aaaaaaaaaaaa", digestA)}
	if edits, _ := digestsTwice(t, same, facts); len(edits) > 0 {
		t.Errorf("got edits %v of an earlier restart, want none", edits)
	}
	again := Scope{Workload: at(3, "bbbbbbbbbbbb", digestB), Old: undone}
	want := []string{"spec.template.spec.containers[0].image app:1@" + facts["app:1"].Digest, `metadata.annotations["portcullis.dev/pinned"] app=cccccccccccc`}
	if edits, _ := digestsTwice(t, again, facts); !cmp.Equal(want, edits) {
		t.Errorf("got edits %v of a later restart, want %v", edits, want)
	}
}

// TestDigestsOfManyContainers bounds what one object can cost: its size may not
// count twice.
func TestDigestsOfManyContainers(t *testing.T) {
	big := func(tag string) *pod.Workload {
		w := decode(t, "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: 'a:1'}]}\n")
		for i := range 20000 {
			w.Spec.Containers = append(w.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: fmt.Sprintf("app%d:%s", i, tag)})
		}
		return w
	}
	began := time.Now()
	needs := DigestNeeds(Scope{Workload: big("2"), Old: big("1")})
	if took := time.Since(began); len(needs) != 20001 || took > 5*time.Second {
		t.Errorf("got %d needs after %s, want 20001 within 5 s", len(needs), took)
	}
}

func TestDigestsWithoutAnAnswer(t *testing.T) {
	const object = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: '%s'}]\n"
	for _, test := range []struct {
		name, image string
		facts       image.Facts
		message     string
		fix         string
		noAnswer    bool
	}{
		{
			name: "the registry does not answer", image: "app:1",
			facts:   image.Facts{"app:1": {Err: &image.Error{Reason: image.Timeout, Image: "app:1", Host: "docker.io"}}},
			message: `it cannot be pinned to a digest: image "app:1" cannot be looked up: registry "docker.io" did not answer in time`,
			fix:     "add its digest (@sha256:...)", noAnswer: true,
		}, {
			name: "what the kubelet refuses", image: "EVIL//x",
			facts:   image.Facts{"EVIL//x": {Err: &image.Error{Reason: image.InvalidReference, Image: "EVIL//x"}}},
			message: "a kubelet does not accept it as an image reference",
			fix:     "write it as [registry/]repository[:tag][@sha256:digest]",
		}, {
			name: "no registry was asked", image: "app:1",
			message: "it names a tag, and no registry was asked for its digest",
			fix:     "add its digest (@sha256:...)", noAnswer: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Scope{Workload: decode(t, fmt.Sprintf(object, test.image))}
			edits, findings := digestsTwice(t, s, test.facts)
			if len(edits) > 0 {
				t.Errorf("got edits %v, want none", edits)
			}
			want := []pod.Finding{{
				Rule: DigestsRule, Container: "app", Path: s.Workload.SpecPath().Child("containers").Index(0).Child("image"),
				Value: test.image, Message: test.message, Fix: test.fix, NoAnswer: test.noAnswer,
			}}
			if diff := cmp.Diff(want, findings, cmp.AllowUnexported(pod.Path{})); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if got := len(Unpinned(s)); got != 1 {
				t.Errorf("got %d findings of a policy that watches, want 1", got)
			}
		})
	}
}

// TestDigestsChangeNothingElse pins pods full of random content and holds the
// patched raw object against the mutated one.
func TestDigestsChangeNothingElse(t *testing.T) {
	fill := randfill.NewWithSeed(7).NilChance(.5).NumElements(1, 3).MaxDepth(10)
	for range 200 {
		object := corev1.Pod{}
		fill.Fill(&object.Spec)
		object.APIVersion, object.Kind = "v1", "Pod"
		facts := image.Facts{}
		name := func(kind string, i int) string {
			n := fmt.Sprintf("registry.example.com/%s%d:1", kind, i)
			facts[n] = image.Fact{Digest: digestA}
			return n
		}
		for i := range object.Spec.Containers {
			object.Spec.Containers[i].Image = name("c", i)
		}
		for i := range object.Spec.InitContainers {
			object.Spec.InitContainers[i].Image = name("i", i)
		}
		for i := range object.Spec.EphemeralContainers {
			object.Spec.EphemeralContainers[i].Image = name("e", i)
		}
		for i := range object.Spec.Volumes {
			if v := object.Spec.Volumes[i].Image; v != nil {
				v.Reference = name("v", i)
			}
		}
		raw := withUnknownField(t, object)
		w, err := pod.Decode(pod.Kinds()[0], raw)
		if err != nil {
			t.Fatal(err)
		}
		var r Recorder
		if findings := Digests(&r, Scope{Workload: w}, facts); len(findings) > 0 {
			t.Fatalf("got findings %v, want none", findings)
		}
		if len(r.Edits()) != len(facts) {
			t.Fatalf("got %d edits for %d images", len(r.Edits()), len(facts))
		}
		patched := apply(t, raw, r.Edits())
		if !strings.Contains(string(patched), `"fromTheFuture"`) {
			t.Fatal("an unknown field got lost")
		}
		again, err := pod.Decode(pod.Kinds()[0], patched)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.Spec, again.Spec); diff != "" {
			t.Fatalf("spec (-mutated +patched):\n%s", diff)
		}
	}
}

// digestsTwice is twice for Digests, with its edits as they are written.
func digestsTwice(t *testing.T, s Scope, facts image.Facts) ([]string, []pod.Finding) {
	t.Helper()
	edits, findings := twice(t, func(r *Recorder) []pod.Finding { return Digests(r, s, facts) })
	return written(edits), findings
}

func withUnknownField(t *testing.T, object any) []byte {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var generic map[string]any
	if err := json.Unmarshal(data, &generic); err != nil {
		t.Fatal(err)
	}
	generic["spec"].(map[string]any)["fromTheFuture"] = map[string]any{"containers": []int{1}}
	if data, err = json.Marshal(generic); err != nil {
		t.Fatal(err)
	}
	return data
}

func BenchmarkDigests(b *testing.B) {
	facts := image.Facts{"app:1": {Digest: digestA}, "proxy:1": {Digest: digestB}}
	w := decode(b, "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: 'app:1'}, {name: proxy, image: 'proxy:1'}]\n")
	b.ReportAllocs()
	for b.Loop() {
		w.Spec.Containers[0].Image, w.Spec.Containers[1].Image = "app:1", "proxy:1"
		var r Recorder
		Digests(&r, Scope{Workload: w}, facts)
		if _, err := pod.Patch(nil, changes(r.Edits())); err != nil {
			b.Fatal(err)
		}
	}
}

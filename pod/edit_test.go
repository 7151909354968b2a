package pod

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPatch(t *testing.T) {
	spec := Path{}.Child("spec")
	container := spec.Child("containers").Index(0)
	context := container.Child("securityContext")
	probe := &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}},
		PeriodSeconds: 5,
	}
	raw := `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"containers":[{"name":"c","image":"i","later":[1]}]}}`
	for _, test := range []struct {
		name  string
		edits []Edit
		patch string
		want  string
	}{
		{name: "no edit, no patch", want: raw},
		{
			name:  "a value that is there is replaced",
			edits: []Edit{{Path: container.Child("image"), Old: "i", New: "i@sha256:1"}},
			patch: `[{"op":"replace","path":"/spec/containers/0/image","value":"i@sha256:1"}]`,
			want:  `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"containers":[{"name":"c","image":"i@sha256:1","later":[1]}]}}`,
		},
		{
			name:  "a key with a slash",
			edits: []Edit{{Path: Path{}.Child("metadata").Child("annotations").Key("a/b"), Old: "1"}},
			patch: `[{"op":"remove","path":"/metadata/annotations/a~1b"}]`,
			want:  `{"future":{"kept":1},"metadata":{"annotations":{}},"spec":{"containers":[{"name":"c","image":"i","later":[1]}]}}`,
		},
		{
			name: "missing parents are made once, and what follows joins them",
			edits: []Edit{
				{Path: context.Child("capabilities").Child("drop"), New: []string{"ALL"}},
				{Path: context.Child("privileged"), New: false},
				{Path: spec.Child("hostUsers"), New: false},
			},
			patch: `[{"op":"add","path":"/spec/containers/0/securityContext","value":{"capabilities":{"drop":["ALL"]},"privileged":false}},` +
				`{"op":"add","path":"/spec/hostUsers","value":false}]`,
			want: `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"hostUsers":false,"containers":[{"name":"c","image":"i","later":[1],` +
				`"securityContext":{"privileged":false,"capabilities":{"drop":["ALL"]}}}]}}`,
		},
		{
			name: "elements are appended, to a list that was there and to one that was made",
			edits: []Edit{
				{Path: container.Child("later").Index(1), New: 2},
				{Path: container.Child("later").Index(2), New: 3},
				{Path: container.Child("env"), New: []corev1.EnvVar{{Name: "A", Value: "1"}}},
				{Path: container.Child("env").Index(1), New: corev1.EnvVar{Name: "B"}},
			},
			patch: `[{"op":"add","path":"/spec/containers/0/later/1","value":2},{"op":"add","path":"/spec/containers/0/later/2","value":3},` +
				`{"op":"add","path":"/spec/containers/0/env","value":[{"name":"A","value":"1"}]},{"op":"add","path":"/spec/containers/0/env/1","value":{"name":"B"}}]`,
			want: `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"containers":[{"name":"c","image":"i","later":[1,2,3],` +
				`"env":[{"name":"A","value":"1"},{"name":"B"}]}]}}`,
		},
		{
			name: "an element is appended to a list that is made with the object around it",
			edits: []Edit{
				{Path: spec.Child("new").Child("list"), New: []int{1}},
				{Path: spec.Child("new").Child("list").Index(1), New: 2},
				{Path: spec.Child("new").Child("other"), New: 3},
			},
			patch: `[{"op":"add","path":"/spec/new","value":{"list":[1],"other":3}},{"op":"add","path":"/spec/new/list/1","value":2}]`,
			want:  `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"new":{"list":[1,2],"other":3},"containers":[{"name":"c","image":"i","later":[1]}]}}`,
		},
		{
			name:  "a probe is written as the API server writes it",
			edits: []Edit{{Path: container.Child("readinessProbe"), New: probe}},
			patch: `[{"op":"add","path":"/spec/containers/0/readinessProbe","value":{"httpGet":{"path":"/","port":"http"},"periodSeconds":5}}]`,
			want: `{"future":{"kept":1},"metadata":{"annotations":{"a/b":"1"}},"spec":{"containers":[{"name":"c","image":"i","later":[1],` +
				`"readinessProbe":{"httpGet":{"path":"/","port":"http"},"periodSeconds":5}}]}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			patch, err := Patch([]byte(raw), test.edits)
			if err != nil {
				t.Fatal(err)
			}
			if string(patch) != test.patch {
				t.Errorf("got patch %s, want %s", patch, test.patch)
			}
			got := []byte(raw)
			if patch != nil {
				operations, err := jsonpatch.DecodePatch(patch)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = operations.Apply(got); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(generic(t, []byte(test.want)), generic(t, got)); diff != "" {
				t.Errorf("patched object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatchOfBrokenObject(t *testing.T) {
	_, err := Patch([]byte(`{"spec":`), []Edit{{Path: Path{}.Child("spec").Child("x"), New: 1}})
	if err == nil || err.Error() != "reading the object to patch: unexpected EOF" {
		t.Errorf("got error %v", err)
	}
}

func TestPath(t *testing.T) {
	p := Path{}.Child("metadata").Child("annotations").Key("a~/b\n").Index(3)
	if got, want := p.String(), `metadata.annotations["a~/b\n"][3]`; got != want {
		t.Errorf("got text %s, want %s", got, want)
	}
	if got, want := p.Pointer(), "/metadata/annotations/a~0~1b\n/3"; got != want {
		t.Errorf("got pointer %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"metadata", "annotations", "a~/b\n", "3"}, tokens(p.Pointer())); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func generic(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPatchOfManyEdits bounds what one object can cost: the number of its
// containers may not count twice.
func TestPatchOfManyEdits(t *testing.T) {
	const containers = 20000
	raw := []byte(`{"spec":{"containers":[{}` + strings.Repeat(",{}", containers-1) + `]}}`)
	var edits []Edit
	list := Path{}.Child("spec").Child("containers")
	for i := range containers {
		context := list.Index(i).Child("securityContext")
		edits = append(edits, Edit{Path: context.Child("runAsNonRoot"), New: true}, Edit{Path: context.Child("allowPrivilegeEscalation"), New: false})
	}
	began := time.Now()
	patch, err := Patch(raw, edits)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("got a patch after %s, want it within 3 s", took)
	}
	if got := strings.Count(string(patch), `"op":`); got != containers {
		t.Errorf("got %d operations, want one for each of %d containers", got, containers)
	}
}

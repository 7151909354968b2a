package pod

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/randfill"
)

// manifest is an object of the kind around a pod spec and template metadata.
func manifest(kind Kind, spec any) map[string]any {
	template := map[string]any{"metadata": map[string]any{"labels": map[string]any{"in": "template"}}, "spec": spec}
	object := template
	for _, name := range slices.Backward(kind.template) {
		object = map[string]any{name: object}
	}
	object["apiVersion"], object["kind"] = kind.APIVersion(), kind.Name
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		object["metadata"] = metadata
	}
	metadata["name"] = "x"
	return object
}

func encode(t testing.TB, object any) []byte {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEveryKindIsSeenAlike(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	spec := corev1.PodSpec{
		InitContainers:      []corev1.Container{{Name: "i", Image: "init"}, {Name: "s", Image: "side", RestartPolicy: &always}},
		Containers:          []corev1.Container{{Name: "c", Image: "main"}, {Name: "empty"}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "debug"}}},
		Volumes: []corev1.Volume{
			{Name: "plain", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "model"}}},
		},
	}
	at := map[string]string{
		"Pod": "spec", "PodTemplate": "template.spec", "CronJob": "spec.jobTemplate.spec.template.spec",
	}
	if len(Kinds()) != 9 {
		t.Fatalf("got %d kinds, want nine", len(Kinds()))
	}
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			prefix, ok := at[kind.Name]
			if !ok {
				prefix = "spec.template.spec"
			}
			w, err := Decode(kind, encode(t, manifest(kind, spec)))
			if err != nil {
				t.Fatal(err)
			}
			if w.DisplayName() != "x" || w.Template.Labels["in"] != "template" {
				t.Errorf("got name %q, template labels %v, want x, in=template", w.DisplayName(), w.Template.Labels)
			}
			var containers []string
			for c := range w.Containers() {
				containers = append(containers, fmt.Sprintf("%s %s %s", c.Type, c.Name, c.Path()))
			}
			want := []string{
				"init container i " + prefix + ".initContainers[0]",
				"sidecar s " + prefix + ".initContainers[1]",
				"container c " + prefix + ".containers[0]",
				"container empty " + prefix + ".containers[1]",
				"ephemeral container e " + prefix + ".ephemeralContainers[0]",
			}
			if diff := cmp.Diff(want, containers); diff != "" {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
			var images []string
			for i := range w.Images() {
				images = append(images, *i.Reference+" "+i.Path().String())
			}
			want = []string{
				"init " + prefix + ".initContainers[0].image",
				"side " + prefix + ".initContainers[1].image",
				"main " + prefix + ".containers[0].image",
				"debug " + prefix + ".ephemeralContainers[0].image",
				"model " + prefix + ".volumes[1].image.reference",
			}
			if diff := cmp.Diff(want, images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			for range w.Images() { // stopping early is allowed
				break
			}
		})
	}
}

func TestDecodeAgreesWithTheStandardLibrary(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(.4).NumElements(1, 3).MaxDepth(12).Funcs(
		func(v *metav1.FieldsV1, _ randfill.Continue) { v.SetRawBytes([]byte(`{"f:spec":{}}`)) },
	)
	kind := Kinds()[0]
	for range 300 {
		var object corev1.Pod
		fill.Fill(&object)
		data := encode(t, object)
		var want corev1.Pod
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		w, err := Decode(kind, data)
		if err != nil {
			t.Fatalf("decoding %s: %v", data, err)
		}
		if diff := cmp.Diff(want.Spec, *w.Spec); diff != "" {
			t.Fatalf("spec (-encoding/json +Decode):\n%s", diff)
		}
		got := []any{w.Metadata.Name, w.Metadata.Labels, w.Metadata.Annotations, w.Metadata.OwnerReferences}
		if diff := cmp.Diff([]any{want.Name, want.Labels, want.Annotations, want.OwnerReferences}, got); diff != "" {
			t.Fatalf("metadata (-encoding/json +Decode):\n%s", diff)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, test := range []struct{ name, kind, data, want string }{
		{
			"a number that is text", "Pod", `{"spec":{"containers":[{"ports":[{"containerPort":"http"}]}]}}`,
			`decoding Pod: spec.containers[0].ports[0].containerPort: got a string, expected int32`,
		},
		{
			"a list that is an object", "Deployment", `{"spec":{"template":{"spec":{"containers":{}}}}}`,
			`decoding Deployment: spec.template.spec.containers: got an object, expected a list`,
		},
		{
			"a quantity", "Pod", `{"spec":{"containers":[{"resources":{"limits":{"cpu":"much"}}}]}}`,
			`decoding Pod: spec.containers[0].resources.limits.cpu: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
		},
		{
			"a repeated name", "Pod", `{"spec":{"hostNetwork":false,"hostNetwork":true}}`,
			`decoding Pod: spec.hostNetwork: duplicate object member name`,
		},
		{
			"broken JSON", "Job", `{"spec":{"template":{"spec":{"containers":[{]}}}}`,
			`decoding Job: spec.template.spec.containers[0]: invalid character ']' at start of value`,
		},
		{"nothing", "Pod", ``, `decoding Pod: at byte 0: unexpected EOF`},
		{"not an object", "Pod", `[]`, `decoding Pod: the object: got a list, expected an object`},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Name == test.kind })
			_, err := Decode(Kinds()[i], []byte(test.data))
			if err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

func TestDecodeYAML(t *testing.T) {
	w, err := DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nspec:\n  hostNetwork: true\n  volumes: [{name: v}]\n  containers: [{name: c, ports: [{containerPort: 80}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if w.Spec.Volumes[0].EmptyDir == nil {
		t.Error("got a volume without a source, want an emptyDir")
	}
	if got := w.Spec.Containers[0].Ports[0].HostPort; got != 80 {
		t.Errorf("got host port %d, want 80", got)
	}
	for _, test := range []struct{ data, want string }{
		{"apiVersion: v1\nkind: Service\n", `apiVersion "v1", kind "Service" carries no pod template`},
		{"apiVersion: apps/v1beta1\nkind: Deployment\n", `apiVersion "apps/v1beta1", kind "Deployment" carries no pod template`},
		{"kind: Pod\nkind: Pod\n", `key "kind" already set`},
		{"\tkind: Pod", `found character that cannot start any token`},
	} {
		if _, err := DecodeYAML([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got error %v, want one with %s", test.data, err, test.want)
		}
	}
}

func TestReplicationControllerWithoutATemplate(t *testing.T) {
	kind, ok := KindFor(schema.GroupVersionKind{Version: "v1", Kind: "ReplicationController"})
	if !ok {
		t.Fatal("got no kind ReplicationController")
	}
	w, err := Decode(kind, []byte(`{"metadata":{"generateName":"x-"},"spec":{"replicas":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if w.Spec != nil || w.DisplayName() != "x-" {
		t.Errorf("got spec %v, name %q, want none, x-", w.Spec, w.DisplayName())
	}
	for c := range w.Containers() {
		t.Errorf("got container %s, want none", c.Name)
	}
	for i := range w.Images() {
		t.Errorf("got image %s, want none", *i.Reference)
	}
	if c := w.DeepCopy(); c.Spec != nil || c.Template != nil {
		t.Errorf("got copy %+v, want one without a template", c)
	}
}

func FuzzDecode(f *testing.F) {
	for _, kind := range Kinds() {
		f.Add(encode(f, manifest(kind, map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}})))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range Kinds() {
			w, err := Decode(kind, data)
			if err != nil {
				continue
			}
			for i := range w.Images() {
				_ = i.Path()
			}
			_ = w.DeepCopy()
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var object corev1.Pod
	randfill.NewWithSeed(3).NilChance(.6).NumElements(1, 2).MaxDepth(9).Fill(&object)
	object.Spec.Containers = append(object.Spec.Containers, corev1.Container{Name: "c", Image: "i"})
	data := encode(b, object)
	b.Run("Decode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(Kinds()[0], data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var p corev1.Pod
			if err := json.Unmarshal(data, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package input

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/pod"
)

const podText = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app, image: \"app:1\"}]}\n"

// write makes a folder with files, by their path in it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// describeAll lists what an input yields, a line each, without the folder.
func describeAll(in *Input, folder string) []string {
	var lines []string
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			line := ""
			switch {
			case p != nil:
				line = p.Error()
			case d.Kind == "":
				line = fmt.Sprintf("%s#%d: nothing", d.Source, d.Index)
			default:
				line = fmt.Sprintf("%s#%d%s: %s %s/%s", d.Source, d.Index, d.Item, d.Kind, d.Namespace, d.Name)
				if d.Workload != nil {
					line += " of " + fmt.Sprint(len(d.Workload.Spec.Containers))
				}
			}
			lines = append(lines, strings.ReplaceAll(line, folder+"/", ""))
		}
	}
	return lines
}

func TestWalk(t *testing.T) {
	folder := write(t, map[string]string{
		"b.yaml": podText, "a.yml": podText, "c.json": `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"n"}}`,
		"deep/er/D.YAML": podText, ".git/x.yaml": "not: seen", "readme.md": "# no manifest", "values.yaml": "replicas: 3\n",
		"two.yaml": podText + "---\n# nothing\n---\n" + podText + "---\n", "empty.yaml": "# nothing\n",
	})
	for link, target := range map[string]string{"deep/loop": "..", "deep/linked": "er", "gone.yaml": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	got := describeAll(Open(t.Context(), Options{Paths: []string{folder}}), folder)
	want := []string{
		"a.yml#1: Pod default/web of 1",
		"b.yaml#1: Pod default/web of 1",
		"c.json#1: Service n/s",
		"deep/er/D.YAML#1: Pod default/web of 1",
		"deep/loop: is a link to a folder that it lies in, and is not followed",
		"gone.yaml: cannot be read: no such file or directory",
		"two.yaml#1: Pod default/web of 1",
		"two.yaml#2: Pod default/web of 1",
		"values.yaml#1: nothing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestPaths(t *testing.T) {
	folder := write(t, map[string]string{"empty/readme.md": "", "manifest.txt": podText, "values.yaml": "a: b\n"})
	in := Open(t.Context(), Options{
		Paths:     []string{folder + "/empty", folder + "/manifest.txt", folder + "/none.yaml", "-", "-", folder + "/values.yaml"},
		Stdin:     strings.NewReader("---\n" + podText),
		Namespace: "team",
	})
	want := []string{
		"empty: has no *.yaml, *.yml or *.json in it",
		"manifest.txt#1: Pod team/web of 1",
		"none.yaml: cannot be read: no such file or directory",
		"-#1: Pod team/web of 1",
		"-: is named twice, and can be read once",
		"values.yaml: document 1, line 1, column 1: is not a Kubernetes object: it has no kind; give objects with apiVersion and kind",
	}
	if diff := cmp.Diff(want, describeAll(in, folder)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// TestText is about one file, named by the user: what is read of it, and what is
// said about what cannot be.
func TestText(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"tabs", "kind: Pod\n\tapiVersion: v1\n", []string{"f.yaml: document 1, line 2: is not YAML: found a tab character that violates indentation"}},
		{"a tab that indents", "kind: Pod\nmetadata:\n\tname: a\n", []string{"f.yaml: document 1, line 3: is not YAML: a tab indents the line; use spaces"}},
		{"another character that begins nothing", "kind: Pod\nname: @a\n", []string{"f.yaml: document 1, line 2: is not YAML: found character that cannot start any token"}},
		{"tabs in JSON", "{\t\"kind\":\t\"ConfigMap\",\n\t\"apiVersion\": \"v1\"\t}", []string{"f.yaml#1: ConfigMap default/"}},
		{"BOM", "\ufeff" + podText, []string{"f.yaml#1: Pod default/web of 1"}},
		{"CRLF", strings.ReplaceAll(podText+"---\n"+podText, "\n", "\r\n"), []string{"f.yaml#1: Pod default/web of 1", "f.yaml#2: Pod default/web of 1"}},
		{"UTF-16", "\xff\xfek\x00", []string{"f.yaml: is written in UTF-16; write it in UTF-8"}},
		{"no text", "\x7fELF\x00", []string{"f.yaml: is not text: it has bytes of value 0"}},
		{
			"duplicate key", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n",
			[]string{`f.yaml: document 1, line 5: key "name" already set in map; keep one of the two`},
		},
		{
			"duplicate key in JSON", `{"apiVersion":"v1","kind":"Pod","kind":"Service"}`,
			[]string{`f.yaml: document 1, line 1: key "kind" already set in map; keep one of the two`},
		},
		{
			"the next document is read", "kind: [\n---\n" + podText,
			[]string{"f.yaml: document 1, line 2: is not YAML: did not find expected node content", "f.yaml#2: Pod default/web of 1"},
		},
		{
			"template", "kind: Pod\nmetadata:\n  name: {{ .Values.name }}\n",
			[]string{`f.yaml: document 1: is not YAML: invalid map key: map[interface {}]interface {}{".Values.name":interface {}(nil)} (it looks like a template: give the chart to --helm, or pipe in what it renders)`},
		},
		{
			"stray document", "a: b\n...\n" + podText,
			[]string{
				"f.yaml: document 1, line 1, column 1: is not a Kubernetes object: it has no kind; give objects with apiVersion and kind",
				"f.yaml: document 2, line 3: begins a document without --- before it, which no reader of Kubernetes sees; put --- there",
			},
		},
		{
			"wrong type", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: app\n    image: 5\n",
			[]string{"f.yaml: document 1, line 7, column 5: spec.containers[0].image: got a number, expected a string"},
		},
		{
			"wrong type in a list", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: none}\n- " + strings.ReplaceAll(podText, "\n", "\n  ") + "\n",
			[]string{
				"f.yaml: document 1, line 6, column 10: items[0].spec.containers: got a string, expected a list",
				"f.yaml#1items[1]: Pod default/web of 1",
			},
		},
		{
			"items of a PodList", `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"},"spec":{"containers":[{}]}}]}`,
			[]string{"f.yaml#1items[0]: Pod default/a of 1"},
		},
		{
			"lists in lists", strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 6) + strings.Repeat("]}", 6),
			[]string{"f.yaml: document 1, line 1, column 169: items[0].items[0].items[0].items[0]: has lists in lists in lists; write the objects as documents of their own"},
		},
		{"a stream of JSON", `{"apiVersion":"v1","kind":"A"}{"apiVersion":"v1","kind":"B"}` + "\n", []string{"f.yaml#1: A default/", "f.yaml#2: B default/"}},
		{
			"an old version", "apiVersion: extensions/v1beta1\nkind: Deployment\n",
			[]string{`f.yaml: document 1, line 1, column 1: apiVersion "extensions/v1beta1", kind "Deployment" is nothing that Kubernetes serves; write apiVersion: apps/v1, kind: Deployment`},
		},
		{
			"a misspelt kind", "apiVersion: apps/v1\nkind: deployment\n",
			[]string{`f.yaml: document 1, line 1, column 1: apiVersion "apps/v1", kind "deployment" is nothing that Kubernetes serves; write apiVersion: apps/v1, kind: Deployment`},
		},
		{
			"a misspelt name of a kind", "apiVersion: apps/v1\nkind: Deploymnt\n",
			[]string{`f.yaml: document 1, line 1, column 1: apiVersion "apps/v1", kind "Deploymnt" is nothing that Kubernetes serves; did you mean Deployment?`},
		},
		{
			"a plural", "apiVersion: v1\nkind: Pods\n",
			[]string{`f.yaml: document 1, line 1, column 1: apiVersion "v1", kind "Pods" is nothing that Kubernetes serves; did you mean Pod?`},
		},
		{"a kind of somebody else that is near", "apiVersion: batch.example.com/v1\nkind: Jobs\n", []string{"f.yaml#1: Jobs default/"}},
		{
			"no apiVersion", "kind: Pod\n",
			[]string{`f.yaml: document 1, line 1, column 1: apiVersion "", kind "Pod" is nothing that Kubernetes serves; write apiVersion: v1, kind: Pod`},
		},
		{"somebody's own kind", "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\n", []string{"f.yaml#1: Job default/"}},
		{
			"anchors and merge keys",
			"apiVersion: v1\nkind: Pod\nmetadata: &m {name: web}\nspec:\n  containers:\n  - &c {name: app, image: app}\n  - <<: *c\n    name: other\n",
			[]string{"f.yaml#1: Pod default/web of 2"},
		},
		{
			"a duplicate beside a merge key",
			"apiVersion: v1\nkind: Pod\nmetadata: &m {name: web}\nspec:\n  containers:\n  - &c {name: app, image: app}\n  - <<: *c\n    name: other\n    name: third\n",
			[]string{`f.yaml: document 1, line 9: key "name" already set in map; keep one of the two`},
		},
		{"a list of objects", "- " + strings.ReplaceAll(podText, "\n", "\n  ") + "\n", []string{
			"f.yaml: document 1, line 1, column 1: is a list, and not a Kubernetes object; give objects with apiVersion and kind",
		}},
		{"billion laughs", laughs(12), []string{"f.yaml: document 1: is not YAML: document contains excessive aliasing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := write(t, map[string]string{"f.yaml": test.text})
			got := describeAll(Open(t.Context(), Options{Paths: []string{folder + "/f.yaml"}}), folder)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
		})
	}
}

// laughs is a short text whose aliases unfold to 9^levels values.
func laughs(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := range levels {
		alias := fmt.Sprintf("*a%d,", i)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(alias, 9), ","))
	}
	return b.String()
}

func TestUnreadable(t *testing.T) {
	large := strings.Repeat("# nothing, at length\n", 1<<20)
	folder := write(t, map[string]string{"a.yaml": large, "b.yaml": podText})
	want := []string{"a.yaml: is larger than 16 MiB, the most that is read of one file; split it", "b.yaml#1: Pod default/web of 1"}
	if diff := cmp.Diff(want, describeAll(Open(t.Context(), Options{Paths: []string{folder}}), folder)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	got := describeAll(Open(t.Context(), Options{Paths: []string{"-"}, Stdin: strings.NewReader(large)}), "")
	if diff := cmp.Diff([]string{"-: is larger than 16 MiB, the most that is read of one file; split it"}, got); diff != "" {
		t.Errorf("standard input (-want +got):\n%s", diff)
	}
}

// TestDefaults requires what the API server sets before admission.
func TestDefaults(t *testing.T) {
	folder := write(t, map[string]string{"f.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  hostNetwork: true\n  volumes: [{name: x}]\n  containers: [{name: a, ports: [{containerPort: 80}]}]\n"})
	for d := range Open(t.Context(), Options{Paths: []string{folder}}).File(0).Documents() {
		if d.Workload.Spec.Volumes[0].EmptyDir == nil || d.Workload.Spec.Containers[0].Ports[0].HostPort != 80 {
			t.Errorf("got %+v, want an emptyDir and host port 80", d.Workload.Spec)
		}
	}
}

func TestNamespaces(t *testing.T) {
	namespace := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n  labels: " + labels + "\n"
	}
	folder := write(t, map[string]string{
		"a.yaml": podText + "---\n" + namespace("{team: a}"), "b.yaml": namespace("{team: a}"), "c.yaml": "kind: [Namespace",
		"d.json": `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"bare"}}]}`,
	})
	got, problems := Open(t.Context(), Options{Paths: []string{folder}}).Namespaces(t.Context())
	if diff := cmp.Diff(map[string]map[string]string{"web": {"team": "a"}, "bare": nil}, got); diff != "" || len(problems) > 0 {
		t.Errorf("namespaces (-want +got):\n%s\nproblems %v", diff, problems)
	}
	folder = write(t, map[string]string{"a.yaml": namespace("{team: a}"), "b.yaml": namespace("{team: b}")})
	_, problems = Open(t.Context(), Options{Paths: []string{folder}}).Namespaces(t.Context())
	want := `b.yaml: document 1, line 5, column 3: metadata.labels: Namespace "web" has other labels in document 1 of a.yaml; check the two apart, or give both the same`
	if len(problems) != 1 || strings.ReplaceAll(problems[0].Error(), folder+"/", "") != want {
		t.Errorf("got problems %v, want %s", problems, want)
	}
}

func TestEach(t *testing.T) {
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("%03d.yaml", i)] = podText
	}
	folder := write(t, files)
	in := Open(t.Context(), Options{Paths: []string{folder}})
	i := 0
	err := Each(t.Context(), in, func(_ context.Context, f *File) string { return f.Name }, func(name string) error {
		if want := filepath.Join(folder, fmt.Sprintf("%03d.yaml", i)); name != want {
			t.Fatalf("got %s, want %s", name, want)
		}
		i++
		return nil
	})
	if err != nil || i != 200 {
		t.Errorf("got %d files, %v, want 200", i, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Each(ctx, in, func(_ context.Context, f *File) string { return f.Name }, func(string) error { cancel(); return nil })
	if err == nil {
		t.Error("got no error from a context that has ended, want one")
	}
}

func TestPosition(t *testing.T) {
	yamlText := "# a comment\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n    image: app\n    securityContext:\n      privileged: true\n  -\n    name: two\n"
	jsonText := "{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n  \"spec\": {\"nodeName\": \"ü\", \"containers\": [\n    {\"name\": \"app\", \"image\": \"app\",\n\t\"securityContext\": {\"privileged\": true}}, {\"name\": \"two\"}]}}\n"
	merged := "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {x: &image app}}\nspec:\n  containers:\n  - &c\n    name: app\n    image: *image\n  - <<: *c\n    name: two\n"
	list := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    containers:\n    - name: app\n      image: x\n"
	containers := pod.Path{}.Child("spec").Child("containers")
	for _, test := range []struct {
		name, text   string
		field        pod.Path
		line, column int
	}{
		{"key", yamlText, containers.Index(0).Child("image"), 7, 5},
		{"nested key", yamlText, containers.Index(0).Child("securityContext").Child("privileged"), 9, 7},
		{"element", yamlText, containers.Index(0), 6, 5},
		{"element below its dash", yamlText, containers.Index(1).Child("name"), 11, 5},
		{"missing field", yamlText, containers.Index(1).Child("securityContext").Child("runAsUser"), 11, 5},
		{"missing element", yamlText, containers.Index(2).Child("name"), 5, 3},
		{"missing parent", yamlText, pod.Path{}.Child("metadata").Child("name"), 2, 1},
		{"CRLF", strings.ReplaceAll(yamlText, "\n", "\r\n"), containers.Index(0).Child("image"), 7, 5},
		{"second document", "a: b\n---\n" + yamlText, containers.Index(0).Child("image"), 9, 5},
		{"JSON key", jsonText, containers.Index(0).Child("image"), 3, 21},
		{"JSON behind a tab", jsonText, containers.Index(0).Child("securityContext").Child("privileged"), 4, 22},
		{"JSON element", jsonText, containers.Index(1), 4, 44},
		{"JSON after two bytes", jsonText, containers, 2, 29},
		{"JSON missing", jsonText, containers.Index(1).Child("image"), 4, 44},
		{"alias", merged, containers.Index(0).Child("image"), 8, 5},
		{"merge key", merged, containers.Index(1).Child("image"), 8, 5},
		{"beside a merge key", merged, containers.Index(1).Child("name"), 10, 5},
		{"item", list, containers.Index(0).Child("image"), 9, 7},
		{"flow", podText, containers.Index(0).Child("image"), 4, 33},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := write(t, map[string]string{"f.yaml": test.text})
			var last *Document
			for d := range Open(t.Context(), Options{Paths: []string{folder}}).File(0).Documents() {
				last = d
			}
			if line, column := last.Position(test.field); line != test.line || column != test.column {
				t.Errorf("got line %d, column %d, want %d, %d", line, column, test.line, test.column)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	folder := write(t, map[string]string{"a.yaml": podText, "b.json": `{"apiVersion":"v1","kind":"List","items":[{"kind":"A"},{"apiVersion":"v1","kind":"B","x":[1]}]}`})
	var got []string
	in := Open(t.Context(), Options{Paths: []string{folder}})
	for i := range in.Len() {
		for d := range in.File(i).Documents() {
			data, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(data))
		}
	}
	want := []string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"app","image":"app:1"}]}}`,
		`{"kind":"A"}`, `{"apiVersion":"v1","kind":"B","x":[1]}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// TestStdinEnds has nobody write to standard input, and the reader told to stop.
func TestStdinEnds(t *testing.T) {
	reader, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := describeAll(Open(ctx, Options{Paths: []string{Stdin}, Stdin: reader}), "")
	if diff := cmp.Diff([]string{"-: cannot be read: context canceled"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

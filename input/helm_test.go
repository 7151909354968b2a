package input

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func chartFiles() map[string]string {
	return map[string]string{
		"shop/Chart.yaml":                 "apiVersion: v2\nname: store\nversion: 1.0.0\n",
		"shop/values.yaml":                "image: app:1\nreplicas: 1\nextra: false\n",
		"shop/templates/_helpers.tpl":     `{{- define "name" }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}`,
		"shop/templates/NOTES.txt":        "Thank you.",
		"shop/templates/pod.yaml":         "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ include \"name\" . }}\nspec:\n  containers:\n  - {name: app, image: {{ .Values.image | quote }}}\n{{- if .Values.extra }}\n  - {name: extra, image: x}\n{{- end }}\n",
		"shop/templates/lookup.yaml":      "{{ if lookup \"v1\" \"Pod\" \"\" \"x\" }}\nkind: [\n{{ end }}\n",
		"shop/templates/hook.yaml":        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: hook\n  namespace: {{ .Release.Namespace }}\n  annotations: {helm.sh/hook: pre-install}\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
		"shop/charts/db/Chart.yaml":       "apiVersion: v2\nname: db\nversion: 1.0.0\n",
		"shop/charts/db/templates/a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: db}\n",
		"prod.yaml":                       "extra: true\n",
	}
}

func TestHelm(t *testing.T) {
	folder := write(t, chartFiles())
	in := Open(t.Context(), Options{Charts: []Chart{{Path: folder + "/shop", Values: []string{folder + "/prod.yaml"}}}, Namespace: "team"})
	want := []string{
		"shop/charts/db/templates/a.yaml#1: Service team/db",
		"shop/templates/hook.yaml#1: Job team/hook of 1",
		"shop/templates/pod.yaml#1: Pod team/release-name-store of 2",
	}
	if diff := cmp.Diff(want, describeAll(in, folder)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	for i := range in.Len() {
		for d := range in.File(i).Documents() {
			if line, column := d.Position(d.Item); line != 0 || column != 0 || !d.Rendered() {
				t.Errorf("got line %d, column %d of %s, want none: it is rendered", line, column, d.Source)
			}
		}
	}
}

func TestHelmProblems(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(files map[string]string, c *Chart)
		want   string
	}{
		{"no chart", func(_ map[string]string, c *Chart) { c.Path += "/none" }, "cannot be read as a chart: stat FOLDER/shop/none: no such file or directory"},
		{"missing dependency", func(files map[string]string, _ *Chart) {
			files["shop/Chart.yaml"] += "dependencies: [{name: cache, version: 1.0.0, repository: https://charts.example.com}]\n"
		}, `lacks its dependencies "cache"; run helm dependency build first`},
		{"missing values", func(_ map[string]string, c *Chart) { c.Values = []string{"none.yaml"} }, `has values in "none.yaml" that cannot be read: no such file or directory`},
		{"broken template", func(files map[string]string, _ *Chart) { files["shop/templates/pod.yaml"] = "{{ fail \"no image\" }}" }, "cannot be rendered: "},
		{"escaping file", func(files map[string]string, _ *Chart) {
			files["shop/templates/pod.yaml"] = "{{ .Files.Get \"../prod.yaml\" | required \"nothing\" }}"
		}, "nothing"},
		{"environment", func(files map[string]string, _ *Chart) { files["shop/templates/pod.yaml"] = "{{ env \"HOME\" }}" }, `function "env" not defined`},
	} {
		t.Run(test.name, func(t *testing.T) {
			files, chart := chartFiles(), Chart{Path: "shop"}
			test.change(files, &chart)
			folder := write(t, files)
			chart.Path = folder + "/" + chart.Path
			got := describeAll(Open(t.Context(), Options{Charts: []Chart{chart}}), folder)
			want := strings.ReplaceAll(test.want, "FOLDER/", "")
			if len(got) != 1 || !strings.Contains(got[0], want) || !strings.HasPrefix(got[0], "shop") {
				t.Errorf("got %q, want one problem with %q", got, want)
			}
		})
	}
}

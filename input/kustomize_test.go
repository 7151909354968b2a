package input

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKustomize(t *testing.T) {
	folder := write(t, map[string]string{
		"base/kustomization.yaml": "resources: [pod.yaml, namespace.yaml]\n",
		"base/pod.yaml":           podText, "base/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {a: b}}\n",
		"prod/kustomization.yaml":    "resources: [../base]\nnamePrefix: prod-\nnamespace: team\nimages: [{name: app, newTag: \"2\"}]\n",
		"broken/kustomization.yaml":  "resources: [none.yaml]\n",
		"outside/kustomization.yaml": "configMapGenerator: [{name: a, files: [../base/pod.yaml]}]\n",
	})
	in := Open(t.Context(), Options{Kustomize: []string{folder + "/prod"}})
	want := []string{"prod#1: Pod team/prod-web of 1", "prod#2: Namespace default/team"}
	if diff := cmp.Diff(want, describeAll(in, folder)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"broken": "none.yaml", "outside": "security", "none": "cannot be rendered by kustomize: "} {
		got := describeAll(Open(t.Context(), Options{Kustomize: []string{folder + "/" + name}}), folder)
		if len(got) != 1 || !strings.HasPrefix(got[0], name+": cannot be rendered by kustomize: ") || !strings.Contains(got[0], want) {
			t.Errorf("%s: got %q, want one problem with %q", name, got, want)
		}
	}
}

package gitops_test

import (
	"encoding/json"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// TestHelm holds that upgrading a release to an unchanged chart changes nothing.
// Helm 3 merges the manifest of the last release, the new one and what is stored.
// Source: helm.sh/helm/v3/pkg/kube, createPatch.
func TestHelm(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.pinned("1.4")
	data, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	a.run(t, "kubectl create --field-manager=helm -f web.yaml")
	a.want(t, "installing", first, 1)
	a.move(t)
	stored, err := json.Marshal(a.live(t))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(appsv1.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(manifest, manifest, stored, schema, true)
	if err != nil {
		t.Fatal(err)
	}
	if string(patch) == "{}" {
		t.Error("got an empty patch, want one that writes the tag")
	}
	_, err = a.Clientset.AppsV1().Deployments(a.namespace).
		Patch(t.Context(), "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "helm"})
	if err != nil {
		t.Fatal(err)
	}
	a.want(t, "upgrading", first, 1)
}

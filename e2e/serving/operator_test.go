package serving_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestMonitoringAccepted applies ServiceMonitor and PrometheusRule to an API server
// with the CRDs of the Prometheus operator's release that e2e/prometheus pins.
func TestMonitoringAccepted(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	folder := filepath.Join(operatorModule(t), "example", "prometheus-operator-crd")
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, name := range []string{"servicemonitors", "prometheusrules"} {
		data, err := os.ReadFile(filepath.Join(folder, "monitoring.coreos.com_"+name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(data, crd); err != nil {
			t.Fatal(err)
		}
		crds = append(crds, crd)
	}
	if _, err := envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Render(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]bool{}
	for _, object := range objects {
		if object.GroupVersionKind().Group != "monitoring.coreos.com" {
			continue
		}
		object.SetNamespace("default")                 // ours is not there, and this is about the schemas
		suite.Eventually(t, suite.Soon, func() error { // the client has to hear of the kinds
			return dryRun(t.Context(), c, object)
		})
		accepted[object.GetKind()] = true
		misspelt := object.DeepCopy()
		if err := unstructured.SetNestedField(misspelt.Object, "x", "spec", "misspelt"); err != nil {
			t.Fatal(err)
		}
		if err := dryRun(t.Context(), c, misspelt); err == nil || !strings.Contains(err.Error(), "misspelt") {
			t.Errorf("%s with a field that there is not: got %v, want a refusal: the test proves nothing", object.GetKind(), err)
		}
	}
	if !accepted["ServiceMonitor"] || !accepted["PrometheusRule"] {
		t.Errorf("got %v tried, want a ServiceMonitor and a PrometheusRule", accepted)
	}
}

// operatorModule is the folder of the Prometheus operator's module, which is
// downloaded if it is not there.
func operatorModule(t *testing.T) string {
	t.Helper()
	module := filepath.Join("..", "prometheus")
	if _, err := os.ReadFile(filepath.Join(module, "go.mod")); err != nil { // go test notes what a test reads
		t.Fatal(err)
	}
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator")
	download.Dir = module
	output, err := download.Output()
	if err != nil {
		t.Fatalf("downloading the Prometheus operator: %v\n%s", err, output)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(output, &found); err != nil {
		t.Fatal(err)
	}
	return found.Dir
}

package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// reportKind is a kind that reports can be of.
type reportKind struct {
	file, version string
	namespaced    schema.GroupVersionResource
	cluster       schema.GroupVersionResource
}

func kindOfReports(file, group, version, prefix string) reportKind {
	return reportKind{
		file, group + "/" + version,
		schema.GroupVersionResource{Group: group, Version: version, Resource: prefix + "reports"},
		schema.GroupVersionResource{Group: group, Version: version, Resource: "cluster" + prefix + "reports"},
	}
}

// definitions are those that OpenReports publishes, or those that ship with us.
func (k reportKind) definitions(t testing.TB) []byte {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "manifests", "components", "policy-reports")
	if k.file == "openreports.yaml" {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/openreports/reports-api")
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("finding the module of OpenReports: %v", err)
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), "config", "crd")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got files %v, %v in %s, want the definitions of two kinds", files, err, dir)
	}
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, "---\n"...), data...)
	}
	return all
}

// install applies the definitions of a kind of reports, which go with the test.
func (k reportKind) install(t testing.TB, c *suite.Cluster) {
	t.Helper()
	data := k.definitions(t)
	api := dynamic.NewForConfigOrDie(c.Config)
	definitions := api.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, document := range bytes.Split(data, []byte("---\n")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		var definition unstructured.Unstructured
		if err := yaml.Unmarshal(document, &definition.Object); err != nil {
			t.Fatal(err)
		}
		if _, err := definitions.Create(t.Context(), &definition, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			name := definition.GetName()
			if err := definitions.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
				t.Errorf("deleting %s: %v", name, err)
			}
			suite.Eventually(t, suite.Soon, func() error {
				if _, err := definitions.Get(context.Background(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					return fmt.Errorf("%s is still there: %v", name, err)
				}
				return nil
			})
		})
	}
	suite.Eventually(t, suite.Soon, func() error {
		_, err := api.Resource(k.cluster).List(t.Context(), metav1.ListOptions{})
		return err
	})
}

const restrictedPolicy = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: restricted}\nspec: {validate: {podSecurity: {level: restricted}}}\n"

// serve starts a server that scans without a pause worth mentioning.
func serve(t *testing.T, c *suite.Cluster, args ...string) *harness.Server {
	t.Helper()
	return serveBy(t, c, restrictedPolicy, args...)
}

// serveThrough is serve with a proxy before the API server.
func serveThrough(t *testing.T, c *suite.Cluster, proxy *harness.Proxy) *harness.Server {
	t.Helper()
	return serveWith(t, c, restrictedPolicy, harness.ServeOptions{Proxy: proxy})
}

// serveBy is serve with a policy.
func serveBy(t *testing.T, c *suite.Cluster, text string, args ...string) *harness.Server {
	t.Helper()
	return serveWith(t, c, text, harness.ServeOptions{Args: args})
}

func serveWith(t *testing.T, c *suite.Cluster, text string, o harness.ServeOptions) *harness.Server {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Args = append([]string{"--audit-interval=1s", "--policy=" + policy}, o.Args...)
	s, err := c.Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	suite.StopAfter(t, s)
	return s
}

// scans waits until so many more scans have been logged.
func scans(t testing.TB, s *harness.Server, more int) {
	t.Helper()
	done := func() int { return strings.Count(s.Log(), `msg="scanned the cluster"`) }
	want := done() + more
	suite.Eventually(t, time.Minute, func() error {
		if done() < want {
			return fmt.Errorf("%d scans are done, want %d", done(), want)
		}
		return nil
	})
}

// results are those of a report.
func results(report *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(report.Object, "results")
	return list
}

func TestReports(t *testing.T) {
	for _, kind := range []reportKind{
		kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", ""),
		kindOfReports("policyreports.yaml", "wgpolicyk8s.io", "v1alpha2", "policy"),
	} {
		t.Run(kind.version, func(t *testing.T) { testReports(t, kind) })
	}
}

func testReports(t *testing.T, kind reportKind) {
	c := cluster.Cluster(t)
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	for name, spec := range map[string]corev1.PodSpec{"good": suite.GoodSpec(), "bad": badSpec()} {
		if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, name, spec)); err != nil {
			t.Fatal(err)
		}
	}
	reports := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace)
	get := func() *unstructured.Unstructured {
		t.Helper()
		report, err := reports.Get(t.Context(), "portcullis", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	s := serve(t, c)
	scans(t, s, 2)

	for name, least := range map[string]float64{
		`portcullis_findings{mode="Enforce",namespace="` + namespace + `",policy="restricted",rule="podSecurity"}`: 4, "portcullis_audit_workloads": 2, "portcullis_audit_timestamp_seconds": 1e9,
	} {
		if got, err := s.Metric(name); err != nil || got < least {
			t.Errorf("got metric %s %v, %v, want at least %v", name, got, err, least)
		}
	}
	first := get()
	requireKept(t, kind, first, reports)
	if got, _, _ := unstructured.NestedInt64(first.Object, "summary", "fail"); got != int64(len(results(first))) || got < 4 {
		t.Errorf("got %d failures in the summary and %d results, want the same, and the four of badSpec", got, len(results(first)))
	}
	for _, r := range results(first) {
		result := r.(map[string]any)
		properties := result["properties"].(map[string]any)
		resource := result["resources"].([]any)[0].(map[string]any)
		if resource["name"] != "bad" || resource["kind"] != "StatefulSet" || result["result"] != "fail" || properties["first-seen"] == nil || properties["fix"] == nil {
			t.Errorf("got result %v, want one about StatefulSet bad with a fix and times", result)
		}
	}

	// Neither time nor dry runs nor the same again write anything.
	spec, err := json.Marshal(suite.StatefulSet.New(namespace, "bad", badSpec()))
	if err != nil {
		t.Fatal(err)
	}
	repeats := 100
	if kind.namespaced.Group == "openreports.io" { // once is enough
		repeats = 1000
	}
	for range repeats {
		pod := suite.Pod.New(namespace, "never", badSpec())
		if err := c.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		same := &unstructured.Unstructured{}
		if err := json.Unmarshal(spec, &same.Object); err != nil {
			t.Fatal(err)
		}
		if err := c.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(same), client.ForceOwnership, client.FieldOwner("test")); err != nil {
			t.Fatal(err)
		}
	}
	scans(t, s, 2)
	if again := get(); again.GetResourceVersion() != first.GetResourceVersion() {
		t.Errorf("got resourceVersion %s after dry runs and the same again, want %s: nothing has changed", again.GetResourceVersion(), first.GetResourceVersion())
	}

	// What somebody writes into a report is gone with the next scan.
	forged := get()
	forged.Object["results"] = []any{}
	if _, err := reports.Update(t.Context(), forged, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	scans(t, s, 2)
	if repaired := get(); len(results(repaired)) != len(results(first)) {
		t.Errorf("got %d results after somebody has removed them, want %d again", len(results(repaired)), len(results(first)))
	}

	// First-seen outlives the process.
	was := firstSeen(t, get())
	time.Sleep(time.Second) // the times are in seconds
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = serve(t, c)
	scans(t, s, 2)
	if is := firstSeen(t, get()); is != was {
		t.Errorf("got first-seen %s after a restart, want %s", is, was)
	}

	// The report goes with the last workload.
	if err := c.Client.DeleteAllOf(t.Context(), suite.StatefulSet.New("", "", corev1.PodSpec{}), client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	scans(t, s, 2)
	if _, err := reports.Get(t.Context(), "portcullis", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want no report on a namespace without workloads", err)
	}
}

func firstSeen(t testing.TB, report *unstructured.Unstructured) string {
	t.Helper()
	if len(results(report)) == 0 {
		t.Fatal("got a report without results")
	}
	text, _, _ := unstructured.NestedString(results(report)[0].(map[string]any), "properties", "first-seen")
	return text
}

// requireKept requires that the API server has stored all that a report says: it drops
// fields that a definition does not know. OpenReports' own type decodes it.
func requireKept(t testing.TB, kind reportKind, report *unstructured.Unstructured, reports dynamic.ResourceInterface) {
	t.Helper()
	for _, r := range results(report) {
		for _, field := range []string{"source", "policy", "rule", "category", "severity", "result", "scored", "message", "timestamp", "resources", "properties"} {
			if _, ok := r.(map[string]any)[field]; !ok {
				t.Errorf("got result %v, want field %s", r, field)
			}
		}
	}
	again := report.DeepCopy()
	again.SetManagedFields(nil)
	_, err := reports.Update(t.Context(), again, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Errorf("storing the report with strict validation: %v", err)
	}
	if kind.namespaced.Group != "openreports.io" {
		return
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var typed openreports.Report
	if err := decoder.Decode(&typed); err != nil {
		t.Errorf("decoding the report as OpenReports' type: %v", err)
	}
	if typed.Source != "portcullis" || len(typed.Results) != len(results(report)) || typed.Summary.Fail == 0 {
		t.Errorf("got source %q, %d results, %+v", typed.Source, len(typed.Results), typed.Summary)
	}
}

// TestReportSize holds the report of a namespace with 5,000 findings to its bound, in
// the worst case of names and values.
func TestReportSize(t *testing.T) {
	c := cluster.Cluster(t)
	kind := kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", "")
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	for i := range 10 {
		spec := corev1.PodSpec{SecurityContext: suite.GoodSpec().SecurityContext}
		for j := range 250 { // with two findings each, about capabilities and privileges
			spec.Containers = append(spec.Containers, corev1.Container{Name: fmt.Sprintf("c%03d-%s", j, strings.Repeat("x", 58)), Image: "nginx:1.27"})
		}
		if err := c.Client.Create(t.Context(), suite.PodTemplate.New(namespace, fmt.Sprintf("t%d-%s", i, strings.Repeat("y", 60)), spec)); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, c, "--audit-findings=1000")
	scans(t, s, 1)
	report, err := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace).Get(t.Context(), "portcullis", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	failures, _, _ := unstructured.NestedInt64(report.Object, "summary", "fail")
	leftOut := report.GetAnnotations()["portcullis.dev/findings-left-out"]
	t.Logf("%d findings, %d of them in %d bytes, %s left out", failures, len(results(report)), len(data), leftOut)
	if len(data) >= 512<<10 || failures != 5000 || leftOut != fmt.Sprint(5000-len(results(report))) || len(results(report)) < 200 {
		t.Errorf("got %d bytes with %d of %d findings, %s left out, want less than 512 KiB, 5000, and at least 200 of them", len(data), len(results(report)), failures, leftOut)
	}
}

// TestReportsWithoutKind requires that a cluster without a kind for reports is
// scanned for its metrics, and the log says so.
func TestReportsWithoutKind(t *testing.T) {
	c := cluster.Cluster(t)
	s := serve(t, c)
	scans(t, s, 2)
	if !strings.Contains(s.Log(), "keeping no reports") {
		t.Error("got a log that does not tell that there are no reports")
	}
}

// TestOneScans requires that of two replicas one scans, and the other one when that
// is gone.
func TestOneScans(t *testing.T) {
	c := cluster.Cluster(t)
	one, other := serve(t, c), serve(t, c)
	scans(t, one, 3)
	if strings.Contains(other.Log(), "scanned the cluster") {
		t.Fatal("both replicas scan")
	}
	if err := one.Stop(); err != nil {
		t.Fatal(err)
	}
	scans(t, other, 1)
}

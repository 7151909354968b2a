package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// exportedMetrics are the metrics in the source of the packages that have some.
func exportedMetrics(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, folder := range []string{"webhook", "image", "audit", "cloudevents"} {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(`"(portcullis_[a-z_]+)"`).FindAllStringSubmatch(string(data), -1) {
				list = append(list, match[1])
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// mentioned are the metrics of ours in a text.
func mentioned(text string) []string {
	var list []string
	for _, name := range regexp.MustCompile(`\bportcullis_[a-z_]+`).FindAllString(text, -1) {
		list = append(list, strings.TrimSuffix(name, "_bucket"))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestMetricNames holds that alerts, dashboard and documents name only metrics that
// there are, and that docs/operations.md names all of them.
func TestMetricNames(t *testing.T) {
	exported := exportedMetrics(t)
	if len(exported) < 10 {
		t.Fatalf("got metrics %v, want ten and more: the test proves nothing", exported)
	}
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil || len(documents) < 10 {
		t.Fatalf("got documents %v, %v, want ten and more", documents, err)
	}
	for _, file := range append(documents,
		"../manifests/components/monitoring/12-prometheusrule.yaml", "../manifests/components/dashboard/10-configmap.yaml",
		"../manifests/chart/files/alerts.yaml", "../manifests/chart/files/dashboard.json", "../README.md",
	) {
		path := filepath.ToSlash(strings.TrimPrefix(file, "../"))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range mentioned(string(data)) {
			if !slices.Contains(exported, name) {
				t.Errorf("%s names the metric %s, which there is not", path, name)
			}
		}
		if path == "docs/operations.md" {
			if diff := cmp.Diff(exported, mentioned(string(data))); diff != "" {
				t.Errorf("%s (-exported +mentioned):\n%s", path, diff)
			}
		}
	}
}

// TestAuditAnnotations holds that docs/operations.md names all annotations that
// reviews get in the API server's audit log, and no other.
func TestAuditAnnotations(t *testing.T) {
	matches := func(path, pattern string) []string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
			list = append(list, match[1])
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	written := matches("../webhook/answer.go", `annotations\["([a-z-]+)"\]`)
	documented := matches("../docs/operations.md", "`(?:mutate|validate)\\.portcullis\\.dev/([a-z-]+)`")
	if diff := cmp.Diff(written, documented); diff != "" || len(written) < 5 {
		t.Errorf("docs/operations.md (-written +documented):\n%s", diff)
	}
}

// TestAlerts holds that each alert can be acted on: docs/operations.md has it.
func TestAlerts(t *testing.T) {
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr string
					Labels      map[string]string
					Annotations map[string]string
				}
			}
		}
	}
	readYAML(t, filepath.Join(manifests, "components", "monitoring", "12-prometheusrule.yaml"), &rule)
	document, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rule.Spec.Groups) != 1 || len(rule.Spec.Groups[0].Rules) < 10 {
		t.Fatalf("got %d groups, want one with ten alerts and more", len(rule.Spec.Groups))
	}
	for _, alert := range rule.Spec.Groups[0].Rules {
		if strings.Count(alert.Expr, "(") != strings.Count(alert.Expr, ")") || strings.Count(alert.Expr, "{") != strings.Count(alert.Expr, "}") {
			t.Errorf("%s: %q is no expression", alert.Alert, alert.Expr)
		}
		if alert.Labels["severity"] == "" || alert.Annotations["summary"] == "" || alert.Expr == "" {
			t.Errorf("%s: want an expression, a severity and a summary", alert.Alert)
		}
		if !strings.Contains(string(document), "`"+alert.Alert+"`") {
			t.Errorf("docs/operations.md does not say what to do about %s", alert.Alert)
		}
	}
}

// TestExpressions has Prometheus' own parser read what alerts and dashboard ask.
func TestExpressions(t *testing.T) {
	expression := regexp.MustCompile(`(?m)^\s*(?:expr: |"expr": )(.*?),?$`)
	var expressions []string
	for _, path := range []string{"monitoring/12-prometheusrule.yaml", "dashboard/10-configmap.yaml"} {
		data, err := os.ReadFile(filepath.Join(manifests, "components", path))
		if err != nil {
			t.Fatal(err)
		}
		found := expression.FindAllSubmatch(data, -1)
		if len(found) != strings.Count(string(data), "expr") {
			t.Errorf("%s: got %d expressions, want %d", path, len(found), strings.Count(string(data), "expr"))
		}
		for _, match := range found {
			text := string(match[1])
			if text[0] == '"' { // of the dashboard's JSON
				if err := json.Unmarshal(match[1], &text); err != nil {
					t.Fatal(err)
				}
			}
			expressions = append(expressions, strings.ReplaceAll(text, "$__rate_interval", "5m"))
		}
	}
	if got := problems(t, []string{"sum(up", "up"}); len(got) != 1 {
		t.Fatalf("got %q for one expression with a mistake: the test proves nothing", got)
	}
	for _, problem := range problems(t, expressions) {
		t.Error(problem)
	}
}

// problems are what Prometheus says of expressions.
func problems(t *testing.T, expressions []string) []string {
	t.Helper()
	input, err := json.Marshal(expressions)
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), "go", "run", ".")
	check.Dir, check.Stdin, check.Stderr = "prometheus", bytes.NewReader(input), os.Stderr
	output, err := check.Output()
	if err != nil {
		t.Fatalf("running e2e/prometheus: %v", err)
	}
	return slices.Collect(strings.Lines(string(output)))
}

// TestDashboard holds that the dashboard is one.
func TestDashboard(t *testing.T) {
	var object corev1.ConfigMap
	readYAML(t, filepath.Join(manifests, "components", "dashboard", "10-configmap.yaml"), &object)
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := yaml.UnmarshalStrict([]byte(object.Data["portcullis.json"]), &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(object.Data["portcullis.json"]), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || len(dashboard.Panels) == 0 {
		t.Fatalf("got title %q and %d panels", dashboard.Title, len(dashboard.Panels))
	}
	ids := map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.Title == "" || len(panel.Targets) == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d %q: want an id of its own, a title, an expression and a place", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			if strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") || target.Expr == "" {
				t.Errorf("panel %q: %q is no expression", panel.Title, target.Expr)
			}
		}
	}
}

// TestServiceMonitor holds that labels of ours are not renamed: the operator adds a
// namespace and an endpoint of its own to all that it scrapes.
func TestServiceMonitor(t *testing.T) {
	var monitor struct {
		Spec struct {
			Endpoints []struct {
				Port        string
				HonorLabels bool
			}
		}
	}
	readYAML(t, filepath.Join(manifests, "components", "monitoring", "11-servicemonitor.yaml"), &monitor)
	if len(monitor.Spec.Endpoints) != 1 || !monitor.Spec.Endpoints[0].HonorLabels {
		t.Errorf("got endpoints %+v, want one that honours labels", monitor.Spec.Endpoints)
	}
}

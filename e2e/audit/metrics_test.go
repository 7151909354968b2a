package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestMetricsAreThose has one replica do everything that there is a metric of, and
// holds that docs/operations.md has each metric that comes out of it and no other, and
// that alerts and dashboard ask for no label that there is not.
func TestMetricsAreThose(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, "bad", badSpec())); err != nil {
		t.Fatal(err)
	}
	s, err := c.Serve(t.Context(), harness.ServeOptions{Registries: c.Registry.Config(), Args: []string{
		"--audit-interval=1s", "--cloudevents-url=" + newSink(t).URL,
		"--guard-registration=" + harness.SystemNamespace + "/portcullis-registration",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the guard first, which would undo the second
		if err := errors.Join(s.Stop(), c.Unregister(context.Background())); err != nil {
			t.Error(err)
		}
	})
	if err := c.Register(t.Context(), s.Endpoint); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error {
		_, err := s.Metric(`portcullis_registration_wanted{configuration="ValidatingWebhookConfiguration"}`)
		return err
	})
	c.Policy(t, namespace, "{mutate: {digests: {}}, validate: {podSecurity: {level: restricted}, rootUser: {mode: Warn}}, breakGlass: {groups: [oncall]}}", s)
	scans(t, s, 2) // the first may have begun before the policy was known
	object := func(spec corev1.PodSpec) []byte {
		o := suite.Pod.New(namespace, "p", spec)
		o.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	pinned := suite.GoodSpec()
	pinned.Containers[0].Image = harness.NginxImage
	suite.Review(t, s, "/mutate", suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object(pinned)})
	suite.Review(t, s, "/validate", suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object(badSpec())})
	response, err := s.Post(t.Context(), "/validate", "application/json", []byte("no review"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	exposed, err := s.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	live := labelsByMetric(exposed)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	documented, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(live))
	if diff := cmp.Diff(names, metricsIn(string(documented))); diff != "" || len(names) < 25 {
		t.Errorf("docs/operations.md (-live +documented):\n%s", diff)
	}
	for _, file := range []string{"manifests/components/monitoring/12-prometheusrule.yaml", "manifests/components/dashboard/10-configmap.yaml"} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, expression := range expressionsOf(t, file, data) {
			for _, problem := range unknownLabels(expression, live) {
				t.Errorf("%s: %s: %s", file, expression, problem)
			}
			asked++
		}
		if asked < 10 {
			t.Errorf("%s: got %d expressions, want more: the test proves nothing", file, asked)
		}
	}
	if problems := unknownLabels(`sum by (colour) (portcullis_findings{shape="round"})`, live); !slices.Equal(problems, []string{"no metric in it has the label colour", "portcullis_findings has no label shape"}) {
		t.Errorf("got %q, want that neither label is there: the test proves nothing", problems)
	}
}

// targetLabels are those that Prometheus and its operator add to each series.
var targetLabels = []string{"pod", "instance", "job", "le"}

// labelsByMetric are the labels of our metrics in the exposition format. Those of a
// histogram are under the name of the histogram.
func labelsByMetric(exposed string) map[string][]string {
	labels := map[string][]string{}
	for line := range strings.Lines(exposed) {
		if name, found := strings.CutPrefix(line, "# TYPE portcullis_"); found {
			labels["portcullis_"+strings.Fields(name)[0]] = nil
		}
	}
	series := regexp.MustCompile(`^(portcullis_[a-z_]+)\{(.*)\} `)
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(exposed) {
		match := series.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		name := match[1]
		for _, end := range []string{"_bucket", "_sum", "_count"} {
			if short, found := strings.CutSuffix(name, end); found {
				if _, histogram := labels[short]; histogram {
					name = short
				}
			}
		}
		for _, l := range label.FindAllStringSubmatch(match[2], -1) {
			if !slices.Contains(labels[name], l[1]) {
				labels[name] = append(labels[name], l[1])
			}
		}
	}
	return labels
}

// metricsIn are our metrics that a text names.
func metricsIn(text string) []string {
	names := regexp.MustCompile(`\bportcullis_[a-z_]+`).FindAllString(text, -1)
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "_bucket")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// expressionsOf are all values of the keys expr, in YAML and in the JSON of a
// dashboard in it.
func expressionsOf(t testing.TB, file string, data []byte) (expressions []string) {
	t.Helper()
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, inner := range v {
				if text, isText := inner.(string); isText && key == "expr" {
					expressions = append(expressions, text)
				} else if isText && strings.HasSuffix(key, ".json") {
					var dashboard any
					if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
						t.Fatalf("%s: %s: %v", file, key, err)
					}
					walk(dashboard)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var object any
	if err := yaml.Unmarshal(data, &object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	walk(object)
	return expressions
}

// unknownLabels says which labels an expression asks for that its metrics do not have,
// and which metrics there are not. Expressions about metrics of others are left out.
func unknownLabels(expression string, live map[string][]string) (problems []string) {
	names := metricsIn(expression)
	if len(names) == 0 {
		return nil
	}
	var all []string
	for _, name := range names {
		labels, there := live[name]
		if !there {
			problems = append(problems, "there is no metric "+name)
		}
		all = append(all, labels...)
	}
	all = append(all, targetLabels...)
	for _, by := range regexp.MustCompile(`\b(?:by|on|without|ignoring) *\(([a-z_, ]*)\)`).FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); label != "" && !slices.Contains(all, label) {
				problems = append(problems, "no metric in it has the label "+label)
			}
		}
	}
	for _, selector := range regexp.MustCompile(`\b(portcullis_[a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(expression, -1) {
		name := strings.TrimSuffix(selector[1], "_bucket")
		for _, label := range regexp.MustCompile(`([a-z_]+) *(?:=|!=|=~|!~)"`).FindAllStringSubmatch(selector[2], -1) {
			if !slices.Contains(live[name], label[1]) && !slices.Contains(targetLabels, label[1]) {
				problems = append(problems, name+" has no label "+label[1])
			}
		}
	}
	return problems
}

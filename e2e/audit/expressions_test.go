package audit_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

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

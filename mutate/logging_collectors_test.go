package mutate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCollectors(t *testing.T) {
	const (
		at      = "app: metadata.annotations"
		dotnet  = `, from the catalog entry dotnet, by DOTNET_VERSION of image `
		python  = `, from the catalog entry python, by PYTHON_VERSION of image `
		long    = "a123456789a123456789a123456789a123456789a123456789a123456789abc"
		json    = `{name: Logging__Console__FormatterName, value: json}`
		elastic = at + `["co.elastic.logs.app/json.`
	)
	for _, test := range []struct {
		name, collector, annotations, container string
		want                                    []string
	}{
		{name: "Fluent Bit: a parser", collector: "FluentBit", container: "image: 'net:1'", want: []string{at + `["fluentbit.io/parser-app"] json` + dotnet + `"net:1"`}},
		{name: "Fluent Bit: JSON by the image", collector: "FluentBit", container: "image: 'net-json:1'", want: []string{at + `["fluentbit.io/parser-app"] json` + dotnet + `"net-json:1"`}},
		{name: "Fluent Bit: JSON by the user", collector: "FluentBit", container: "image: 'net:1', env: [" + json + "]", want: []string{at + `["fluentbit.io/parser-app"] json` + dotnet + `"net:1"`}},
		{name: "Fluent Bit: text by the user", collector: "FluentBit", container: "image: 'net:1', env: [{name: Logging__Console__FormatterName, value: simple}]"},
		{name: "Fluent Bit: text", collector: "FluentBit", container: "image: 'py:1'"},
		{name: "Fluent Bit: the container's parser is set", collector: "FluentBit", annotations: "fluentbit.io/parser-app: mine", container: "image: 'net:1'"},
		{name: "Fluent Bit: the pod's parser is set", collector: "FluentBit", annotations: "fluentbit.io/parser: mine", container: "image: 'net:1'"},
		{name: "Fluent Bit: the parser of a stream is set", collector: "FluentBit", annotations: "fluentbit.io/parser_stderr-app: mine", container: "image: 'net:1'"},
		{name: "Fluent Bit: another container's parser is set", collector: "FluentBit", annotations: "fluentbit.io/parser-apps: mine", container: "image: 'net:1'", want: []string{at + `["fluentbit.io/parser-app"] json` + dotnet + `"net:1"`}},
		{name: "Elastic: JSON", collector: "Elastic", annotations: "co.elastic.logs/enabled: 'true'", container: "image: 'net:1'", want: []string{
			elastic + `overwrite_keys"] true` + dotnet + `"net:1"`, elastic + `add_error_key"] true` + dotnet + `"net:1"`, elastic + `expand_keys"] true` + dotnet + `"net:1"`,
		}},
		{name: "Elastic: text", collector: "Elastic", container: "image: 'py:1'"},
		{name: "Elastic: a hint for the pod", collector: "Elastic", annotations: "co.elastic.logs/json.message_key: msg", container: "image: 'net:1'"},
		{name: "Elastic: a hint for the container", collector: "Elastic", annotations: "co.elastic.logs.app/module: nginx", container: "image: 'net:1'"},
		{name: "Elastic: a hint for another container", collector: "Elastic", annotations: "co.elastic.logs.apps/module: nginx", container: "image: 'net:1'", want: []string{
			elastic + `overwrite_keys"] true` + dotnet + `"net:1"`, elastic + `add_error_key"] true` + dotnet + `"net:1"`, elastic + `expand_keys"] true` + dotnet + `"net:1"`,
		}},
		{name: "Datadog: the source", collector: "Datadog", container: "image: 'py:1'", want: []string{at + `["ad.datadoghq.com/app.logs"] [{"source":"python"}]` + python + `"py:1"`}},
		{name: "Datadog: with envFrom too", collector: "Datadog", container: "image: 'py:1', envFrom: [{configMapRef: {name: x}}]", want: []string{at + `["ad.datadoghq.com/app.logs"] [{"source":"python"}]` + python + `"py:1"`}},
		{name: "Datadog: two sources", collector: "Datadog", container: "image: 'py-and-node:1'"},
		{name: "Datadog: none", collector: "Datadog", container: "image: 'kong:3'"},
		{name: "Datadog: it is set", collector: "Datadog", annotations: "ad.datadoghq.com/app.logs: '[]'", container: "image: 'py:1'"},
		{name: "a key that would be too long", collector: "Datadog", container: "image: 'py:1', name: " + long},
	} {
		t.Run(test.name, func(t *testing.T) {
			container := test.container
			if !strings.Contains(container, " name: a123") {
				container += ", name: app"
			}
			manifest := "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {" + test.annotations + "}}\nspec:\n  containers:\n  - {" + container + "}\n"
			_, edits, _ := prove(t, manifest, logging(t, "terminationMessagePolicy: Unchanged, collector: "+test.collector, loggingFacts(t)))
			var got []string
			for i, line := range explained(edits) {
				if !strings.Contains(edits[i].Path.String(), ".env") {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCollectorsOfSeveralContainers holds that one container's annotation is no word
// about another, and that nothing is left to say in a second pass.
func TestCollectorsOfSeveralContainers(t *testing.T) {
	const manifest = "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: 'net:1'}, {name: b, image: 'net:1'}]}}}}}\n"
	for collector, want := range map[string]int{"FluentBit": 2, "Elastic": 6, "Datadog": 2} {
		w, _, _ := prove(t, manifest, logging(t, "collector: "+collector, loggingFacts(t)))
		if got := len(w.Template.Annotations); got != want {
			t.Errorf("%s: got annotations %v, want %d", collector, w.Template.Annotations, want)
		}
	}
}

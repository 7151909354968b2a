package main

import (
	"strings"
	"testing"
)

// TestShape holds what is said of fields that are misspelt. Where a pod spec is in
// blocks it is found by its words, else by reading it again.
func TestShape(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n"
	const field = "unknown field, which the API server ignores and kubectl refuses"
	for _, test := range []struct {
		name, text, result, warning string
		code                        int
	}{
		{
			name: "no template", text: deployment + "  templat:\n    spec: {containers: [{name: a, image: b}]}\n", code: 2,
			result: "ERROR 5:3 input\n          spec.templat: unknown field; did you mean template?\n",
		},
		{
			name: "nothing like a template", text: deployment + "  replicas: 1\n", code: 2,
			result: "spec.template: is not set, so that there are no pods to judge; the API server refuses that",
		},
		{
			name: "no containers", text: "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  container: [{name: a}]\n", code: 2,
			result: "spec.container: unknown field; did you mean containers?",
		},
		{
			name: "in blocks", code: 0,
			text:    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels:\n    readinesProbe: mine\nspec:\n  containers:\n  - name: a\n    readinesProbe: {}\n    image: b\n",
			warning: "portcullis: warning: -: document 1, line 10, column 5: spec.containers[0].readinesProbe: " + field + "; did you mean readinessProbe?\n",
		},
		{
			name: "in braces", code: 0,
			text:    "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - {name: a, securityContext: {runAsNonroot: true}}\n",
			warning: "spec.containers[0].securityContext.runAsNonroot: " + field + "; did you mean runAsNonRoot?\n",
		},
		{
			name: "in JSON", code: 0, text: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"a"}],"zzzzz":1}}`,
			warning: "spec.zzzzz: " + field + "\n",
		},
		{
			name: "a control character", code: 0, text: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"a"}],"z\u001b[2J":1}}`,
			warning: "spec.z\ufffd[2J: " + field + "\n",
		},
		{
			name: "another type", text: deployment + "  replicas: x\n  template: {spec: {containers: [{name: a}]}}\n", code: 2,
			result: "spec.replicas: got a string, expected int32",
		},
		{
			name: "keys of somebody's own", code: 0,
			text: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels:\n    team: a\n  annotations: {a: b}\nspec:\n  nodeSelector:\n    pool: b\n  containers:\n  - name: a\n    resources:\n      limits:\n        cpu: 1\n    command: [sh, -c, 'a: b']\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t, test.text, "check", "--preset", "baseline", "-")
			if got.code != test.code || !strings.Contains(got.stdout, test.result) {
				t.Errorf("got %d, %s, want %d, one with %s", got.code, got.stdout, test.code, test.result)
			}
			if !strings.Contains(got.stderr, test.warning) || test.warning == "" && got.stderr != "" {
				t.Errorf("got on stderr %q, want %q", got.stderr, test.warning)
			}
			if explained := execute(t, test.text, "explain", "--preset", "baseline", "-"); explained.code != test.code || !strings.Contains(explained.stderr, test.warning) {
				t.Errorf("explain: got %d, %s, want %d, the same warning", explained.code, explained.stderr, test.code)
			}
		})
	}
}

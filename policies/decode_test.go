package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loadCase is a file and the text of the error that loading it gives.
type loadCase struct {
	name, text, want string
}

func documentCases() []loadCase {
	return []loadCase{
		{"nothing", "", `p.yaml: holds no policy; want documents with apiVersion portcullis.dev/v1alpha1 and kind PodPolicy`},
		{"comments only", "# a\n---\n# b\n", `p.yaml: holds no policy; want documents with apiVersion portcullis.dev/v1alpha1 and kind PodPolicy`},
		{"list", "- a\n", `p.yaml: document 1, line 1: is a list, want a PodPolicy object`},
		{"text", "\nhello\n", `p.yaml: document 1, line 2: is the string "hello", want a PodPolicy object`},
		{"other kind", "apiVersion: apps/v1\nkind: Deployment\n", `p.yaml: document 1, line 1: apiVersion: is "apps/v1", want portcullis.dev/v1alpha1` + "\n" +
			`p.yaml: document 1, line 2: kind: is "Deployment", want PodPolicy`},
		{"no kind", "apiVersion: portcullis.dev/v1alpha1\n", `p.yaml: document 1, line 1: kind: is not set, want PodPolicy`},
		{
			"name twice", head("a") + "spec: {mutate: {digests: {}}}\n---\n" + head("a") + "spec: {mutate: {digests: {}}}\n",
			`p.yaml: document 2, line 8: metadata.name: "a" is the name of another policy too (p.yaml, document 1)`,
		},
		{
			"all at once", head("a") + "spec:\n  mode: enforce\n  validate:\n    podSecurity: {level: strict, levl: baseline}\n---\na: [\n---\nkind: Pod\napiVersion: v1\n---\n" + head("b") + "spec: {}\n",
			`p.yaml: document 1, line 5: spec.mode: "enforce" is not a mode; use Enforce, Warn or Audit` + "\n" +
				`p.yaml: document 1, line 7: spec.validate.podSecurity.levl: unknown field; did you mean level?` + "\n" +
				`p.yaml: document 1, line 7: spec.validate.podSecurity.level: "strict" is not a level; use privileged, baseline or restricted` + "\n" +
				`p.yaml: document 2, line 10: is not YAML: did not find expected node content` + "\n" +
				`p.yaml: document 3, line 11: kind: is "Pod", want PodPolicy` + "\n" +
				`p.yaml: document 3, line 12: apiVersion: is "v1", want portcullis.dev/v1alpha1` + "\n" +
				`p.yaml: document 4, line 17: spec: no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions`,
		},
	}
}

func fieldCases() []loadCase {
	return []loadCase{
		{
			"misspelt field", head("a") + "spec:\n  validate:\n    podSecurty: {level: baseline}\n",
			`p.yaml: document 1, line 6: spec.validate.podSecurty: unknown field; did you mean podSecurity?`,
		},
		{"upper case", head("a") + "spec: {Mode: Warn, mutate: {digests: {}}}\n", `p.yaml: document 1, line 4: spec.Mode: unknown field; did you mean mode?`},
		{
			"section of a later version", head("a") + "spec:\n  mutate:\n    digests: {}\n    sidecars: {}\n",
			`p.yaml: document 1, line 7: spec.mutate.sidecars: unknown field; the fields here are digests, hardening, logging, probes`,
		},
		{
			"field at the top", head("a") + "spec: {mutate: {digests: {}}}\nrules: {}\n",
			`p.yaml: document 1, line 5: rules: unknown field; the fields here are apiVersion, kind, metadata, spec, status`,
		},
		{"twice", head("a") + "spec:\n  mode: Warn\n  mutate: {digests: {}}\n  mode: Audit\n", `p.yaml: document 1, line 7: spec.mode: is set twice, first on line 5`},
		{"empty section", head("a") + "spec:\n  mutate:\n    digests:\n", `p.yaml: document 1, line 6: spec.mutate.digests: is empty; write {} for its defaults, or leave it out`},
		{"empty value", head("a") + "spec:\n  mode:\n  mutate: {digests: {}}\n", `p.yaml: document 1, line 5: spec.mode: is empty; write a value, or leave it out`},
		{
			"empty list entry", head("a") + "spec:\n  match: {namespaces: [~]}\n  mutate: {digests: {}}\n",
			`p.yaml: document 1, line 5: spec.match.namespaces[0]: is empty; write a value, or leave it out`,
		},
		{
			"merge key", head("a") + "spec:\n  <<: {mode: Warn}\n  mutate: {digests: {}}\n",
			`p.yaml: document 1, line 5: spec: has the merge key "<<", which is not supported; write the fields out`,
		},
		{
			"key that is a list", head("a") + "spec: {[a]: b, mutate: {digests: {}}}\n",
			`p.yaml: document 1, line 4: spec: has a list as a key; write a name in its place`,
		},
		{"line break in a key", head("a") + "spec: {\"a\\nb\": c, mutate: {digests: {}}}\n", `p.yaml: document 1, line 4: spec[a\nb]: unknown field; the fields here are breakGlass, exceptions, existingViolations, match, mode, modeOverrides, mutate, onRegistryError, validate`},
	}
}

func typeCases() []loadCase {
	return []loadCase{
		{
			"string for a list", head("a") + "spec:\n  match: {namespaces: default}\n  mutate: {digests: {}}\n",
			`p.yaml: document 1, line 5: spec.match.namespaces: is the string "default", want a list: write [default]`,
		},
		{
			"object for a list", head("a") + "spec:\n  match: {namespaces: {a: b}}\n  mutate: {digests: {}}\n",
			`p.yaml: document 1, line 5: spec.match.namespaces: is an object, want a list`,
		},
		{"list for a string", head("a") + "spec:\n  mode: [Warn]\n  mutate: {digests: {}}\n", `p.yaml: document 1, line 5: spec.mode: is a list, want a string`},
		{"boolean for a section", head("a") + "spec:\n  mutate: {digests: true}\n", `p.yaml: document 1, line 5: spec.mutate.digests: is the boolean true, want an object`},
		{
			"numbers for strings", head("a") + "spec:\n  match: {namespaces: [12]}\n  validate: {podSecurity: {level: baseline, version: 1.30}}\n",
			`p.yaml: document 1, line 5: spec.match.namespaces[0]: is the number 12, want a string: put it in quotes` + "\n" +
				`p.yaml: document 1, line 6: spec.validate.podSecurity.version: is the number 1.30, want a string: put it in quotes`,
		},
		{
			"boolean of YAML 1.1", head("a") + "spec:\n  match: {objectSelector: {matchLabels: {a.b/c: on}}}\n  mutate: {digests: {}}\n",
			`p.yaml: document 1, line 5: spec.match.objectSelector.matchLabels[a.b/c]: is the boolean on of YAML 1.1, which Kubernetes reads, want a string: put it in quotes`,
		},
		{
			"words for a boolean", head("a") + "spec:\n  validate:\n    digests: {require: yes}\n    registries: {deny: {}}\n---\n" + head("b") + "spec: {validate: {digests: {require: \"false\"}}}\n",
			`p.yaml: document 1, line 6: spec.validate.digests.require: is the boolean yes of YAML 1.1, which Kubernetes reads, want true or false` + "\n" +
				`p.yaml: document 1, line 7: spec.validate.registries.deny: is an object, want a list` + "\n" +
				`p.yaml: document 2, line 12: spec.validate.digests.require: is the string "false", want true or false`,
		},
		{
			"text for a number", "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata:\n  name: a\n  generation: two\nspec: {mutate: {digests: {}}}\n",
			`p.yaml: document 1, line 5: metadata.generation: is the string "two", want a whole number`,
		},
		{
			"numbers that do not fit", head("a") + "spec:\n  mutate:\n    probes:\n      catalog:\n      - images: [a]\n        readiness:\n          tcpSocket: {port: 80}\n          timeoutSeconds: 99999999999\n          periodSeconds: 1.5\n          failureThreshold: 99999999999999999999\n",
			`p.yaml: document 1, line 11: spec.mutate.probes.catalog[0].readiness.timeoutSeconds: is the number 99999999999, which is out of range; want a whole number of at most 2147483647` + "\n" +
				`p.yaml: document 1, line 12: spec.mutate.probes.catalog[0].readiness.periodSeconds: is the number 1.5, want a whole number` + "\n" +
				`p.yaml: document 1, line 13: spec.mutate.probes.catalog[0].readiness.failureThreshold: is the number 99999999999999999999, want a whole number`,
		},
		{
			"bad time", "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: a, creationTimestamp: today}\nspec: {mutate: {digests: {}}}\n",
			`p.yaml: document 1, line 3: metadata.creationTimestamp: is the string "today", want a time such as 2026-12-31T23:59:59Z`,
		},
		{
			"bad duration", head("a") + "spec:\n  mutate: {digests: {}}\n  exceptions:\n    maxDuration: 30 days\n",
			`p.yaml: document 1, line 7: spec.exceptions.maxDuration: is the string "30 days", want a duration such as 720h or 1h30m`,
		},
	}
}

func syntaxCases() []loadCase {
	return []loadCase{
		{"unclosed list", head("a") + "spec: [\nmore: 1\n", `p.yaml: document 1, line 4: is not YAML: did not find expected ',' or ']'`},
		{"indentation", head("a") + "- b\n", `p.yaml: document 1, line 4: is not YAML: did not find expected key`},
		{"colon", head("a") + "spec: a: b\n", `p.yaml: document 1, line 4: is not YAML: mapping values are not allowed in this context`},
		{"tab", head("a") + "spec:\n\tmode: Warn\n", `p.yaml: document 1, line 5: is not YAML: found character that cannot start any token`},
		{"end without beginning", head("a") + "...\na: b\n", `p.yaml: document 1, line 5: is not YAML: did not find expected <document start>`},
		{"unknown alias", head("a") + "spec: *x\n", `p.yaml: document 1: is not YAML: unknown anchor 'x' referenced`},
		{"control character", "a: \x01", `p.yaml: document 1: is not YAML: control characters are not allowed`},
	}
}

func TestLoadProblems(t *testing.T) {
	for _, tc := range slices.Concat(documentCases(), fieldCases(), typeCases(), syntaxCases()) {
		t.Run(tc.name, func(t *testing.T) {
			list, err := Load([]byte(tc.text), "p.yaml")
			if err == nil {
				t.Fatalf("got %d policies, want an error", len(list))
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != strings.Count(tc.want, "\n")+1 {
				t.Errorf("got %#v, want one problem a line", err)
			}
		})
	}
}

// TestLoadBooleans is about spellings: each of them means the same to kubectl.
func TestLoadBooleans(t *testing.T) {
	for word, want := range map[string]bool{"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false} {
		list, err := Load([]byte(head("a")+"spec: {validate: {digests: {forbidTags: [a], require: "+word+"}}}"), "p.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if got := *list[0].Spec.Validate.Digests.Require; got != want {
			t.Errorf("%s: got %v, want %v", word, got, want)
		}
	}
}

// keys is n fields of a mapping.
func keys(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf("k%d: v", i)
	}
	return strings.Join(fields, ", ")
}

func TestLoadIsBounded(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"size", strings.Repeat("#", maxSource+1), `p.yaml: is larger than 1048576 bytes`},
		{
			"many values", head("a") + "spec: {match: {namespaces: [" + strings.Repeat("a,", maxValues) + "]}}",
			`p.yaml: document 1, line 1: has more than 50000 values, its aliases counted each time`,
		},
		{
			"aliases", head("a") + "spec: {match: {namespaces: &n [" + strings.Repeat("a,", 20_000) + "]}, modeOverrides: [" + strings.Repeat("{namespaces: *n},", 20_000) + "]}",
			`p.yaml: document 1, line 1: has more than 50000 values, its aliases counted each time`,
		},
		{
			"long value", head("a") + "spec: {mode: " + strings.Repeat("é", 1000) + ", mutate: {digests: {}}}",
			`p.yaml: document 1, line 4: spec.mode: "` + strings.Repeat("é", 40) + `..." is not a mode; use Enforce, Warn or Audit`,
		},
		{
			"aliases of unknown fields", head("a") + "spec: {modeOverrides: [&o {" + keys(20_000) + "}" + strings.Repeat(", *o", 20_000) + "]}",
			"p.yaml: document 1: has more problems than these 1000",
		},
		{
			"alias to itself", head("a") + "spec: &s {match: *s, mutate: {digests: {}}}",
			`p.yaml: document 1, line 4: spec.match.match: unknown field; the fields here are excludeNamespaces, excludeRuntimeClasses, excludeUsernames, kinds, namespaceSelector, namespaces, objectSelector` + "\n" +
				`p.yaml: document 1, line 4: spec.match.mutate: unknown field; the fields here are excludeNamespaces, excludeRuntimeClasses, excludeUsernames, kinds, namespaceSelector, namespaces, objectSelector`,
		},
	}
	for _, tc := range tests {
		_, err := Load([]byte(tc.text), "p.yaml")
		if err == nil {
			t.Errorf("%s: got no error, want %s", tc.name, tc.want)
			continue
		}
		got := err.Error()
		if tc.name == "aliases of unknown fields" {
			got, _, _ = strings.Cut(got, "\n")
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: error (-want +got):\n%s", tc.name, diff)
		}
	}
}

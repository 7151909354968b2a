package policies

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// fieldDoc is the description of a field as `kubectl explain` shows it.
type fieldDoc struct {
	path   []string // "[]" stands for an element of a list
	schema apiextensionsv1.JSONSchemaProps
}

func (d fieldDoc) String() string {
	return strings.ReplaceAll(strings.Join(d.path, "."), ".[]", "[]")
}

// example is what the description gives as one, and whether it gives any.
func (d fieldDoc) example(t *testing.T) (any, bool) {
	t.Helper()
	_, text, found := strings.Cut(strings.Join(strings.Fields(d.schema.Description), " "), " Example: ")
	if !found {
		return nil, false
	}
	text = strings.TrimSuffix(text, ".")
	if d.schema.Type == "string" && !strings.HasPrefix(text, `"`) {
		return text, true // as it is typed after a colon and a space
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Errorf("%s: example %s: %v", d, text, err)
	}
	return value, true
}

// fieldDocs are the descriptions of the fields of a CRD, outer before inner, without
// those of Kubernetes' own types.
func fieldDocs(t *testing.T, resource string) []fieldDoc {
	t.Helper()
	var docs []fieldDoc
	var walk func(path []string, schema *apiextensionsv1.JSONSchemaProps)
	walk = func(path []string, schema *apiextensionsv1.JSONSchemaProps) {
		if schema.Items != nil {
			walk(append(path[:len(path):len(path)], "[]"), schema.Items.Schema)
			return
		}
		if _, foreign := schema.Properties["matchExpressions"]; foreign || slices.Contains(path, "conditions") {
			return
		}
		for name, field := range schema.Properties {
			doc := fieldDoc{append(path[:len(path):len(path)], name), field}
			docs = append(docs, doc)
			walk(doc.path, &field)
		}
	}
	root := readCRDOf(t, resource).Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, name := range []string{"spec", "status"} {
		section := root.Properties[name]
		docs = append(docs, fieldDoc{[]string{name}, section})
		walk([]string{name}, &section)
	}
	return docs
}

// TestDocstrings holds that `kubectl explain` says something of every field, as a
// sentence, and the default that the API server fills in.
func TestDocstrings(t *testing.T) {
	for _, resource := range []string{"podpolicies", "policyexceptions"} {
		for _, doc := range fieldDocs(t, resource) {
			text := strings.Join(strings.Fields(doc.schema.Description), " ")
			if len(text) < len("Its value.") || !strings.ContainsAny(text[len(text)-1:], `."]`) && !strings.Contains(text, "Example: ") {
				t.Errorf("%s: got description %q, want a sentence", doc, text)
			}
			if d := doc.schema.Default; d != nil && doc.schema.Type != "object" && doc.schema.Type != "array" {
				if want := "Default: " + strings.Trim(string(d.Raw), `"`); !strings.Contains(text, want) {
					t.Errorf("%s: got description %q, want it to say %q", doc, text, want)
				}
			}
			name := doc.path[len(doc.path)-1]
			if strings.HasPrefix(strings.ToLower(text), strings.ToLower(name)+" is ") && doc.path[0] == "spec" {
				t.Errorf("%s: got description %q, want one that does not begin with the name", doc, text)
			}
		}
	}
}

// TestDocstringExamples puts every example of a description where it belongs, and
// has the whole read as a file is: nothing may be wrong there.
func TestDocstringExamples(t *testing.T) {
	count := 0
	for resource, kind := range map[string]string{"podpolicies": Kind, "policyexceptions": ExceptionKind} {
		for _, doc := range fieldDocs(t, resource) {
			value, found := doc.example(t)
			if !found {
				continue
			}
			count++
			object := map[string]any{"apiVersion": GroupVersion(), "kind": kind, "metadata": map[string]any{"name": "x"}}
			if kind == ExceptionKind {
				object["metadata"] = map[string]any{"name": "x", "namespace": DefaultExceptionNamespace}
			}
			put(object, doc.path, value)
			data, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			problems := ReviewPolicy(data)
			if kind == ExceptionKind {
				problems = ReviewException(data, ExceptionTerms{})
			}
			at := strings.ReplaceAll(doc.String(), "[]", "[0]")
			for _, problem := range problems {
				if problem.Field == at || strings.HasPrefix(problem.Field, at+".") || strings.HasPrefix(problem.Field, at+"[") {
					if !strings.Contains(problem.Message, "is not a policy in force") {
						t.Errorf("%s: the example %v is refused: %v", doc, value, problem)
					}
				}
			}
		}
	}
	if count < 40 {
		t.Errorf("got %d examples, want those of all fields", count)
	}
}

// put sets a value at a path, and makes what is around it.
func put(object map[string]any, path []string, value any) {
	name := path[0]
	switch {
	case len(path) == 1:
		object[name] = value
	case path[1] == "[]" && len(path) == 2:
		object[name] = []any{value}
	case path[1] == "[]":
		element := map[string]any{}
		put(element, path[2:], value)
		object[name] = []any{element}
	default:
		inner := map[string]any{}
		put(inner, path[1:], value)
		object[name] = inner
	}
}

// TestKindExamples reads the example that `kubectl explain` shows of each kind.
func TestKindExamples(t *testing.T) {
	for _, resource := range []string{"podpolicies", "policyexceptions"} {
		_, text, found := strings.Cut(readCRDOf(t, resource).Spec.Versions[0].Schema.OpenAPIV3Schema.Description, "Example:\n")
		if !found {
			t.Fatalf("%s: got no example", resource)
		}
		text = strings.ReplaceAll(strings.Trim(text, "\n"), "\t", "")
		var problems Problems
		if resource == "podpolicies" {
			problems = ReviewPolicy([]byte(text))
		} else {
			policy, found := compile(readPolicy(t, "{mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}"))
			if len(found) > 0 {
				t.Fatal(found)
			}
			policy.Name = "production"
			// A month before it ends, whatever the date is now.
			now := time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC)
			problems = ReviewException([]byte(text), ExceptionTerms{Policies: []*Compiled{policy}, Now: now})
		}
		if len(problems) > 0 {
			t.Errorf("%s: the example is refused: %v\n%s", resource, problems, text)
		}
	}
}

// readPolicy is a policy with a spec in YAML, with its defaults.
func readPolicy(t *testing.T, spec string) *PodPolicy {
	t.Helper()
	list, err := Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: "+spec+"\n"), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

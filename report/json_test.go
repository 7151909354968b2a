package report

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestJSON(t *testing.T) {
	got := write(t, "json", sample(), sampleOptions)
	validate(t, schema(t, "report.schema.json"), got)
	golden(t, "report.json", got)

	var back Report
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	want := &Report{Results: sample().sorted(), Summary: sample().Summary}
	if diff := cmp.Diff(want, &back); diff != "" {
		t.Errorf("after decoding (-want +got):\n%s", diff)
	}
	validate(t, schema(t, "report.schema.json"), write(t, "json", &Report{}, Options{}))
}

// TestSchemaNamesEveryField requires that the schema has each field of a result
// and of the summary, and no other.
func TestSchemaNamesEveryField(t *testing.T) {
	var s struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
			Required   []string       `json:"required"`
		} `json:"$defs"`
	}
	data, err := os.ReadFile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]reflect.Type{"result": reflect.TypeFor[Result](), "summary": reflect.TypeFor[Summary]()} {
		var fields, required, described []string
		for i := range of.NumField() {
			field, option, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if field == "-" {
				continue
			}
			fields = append(fields, field)
			if option == "" {
				required = append(required, field)
			}
		}
		for property := range s.Defs[name].Properties {
			described = append(described, property)
		}
		got := s.Defs[name].Required
		for _, list := range [][]string{fields, required, described, got} {
			slices.Sort(list)
		}
		if diff := cmp.Diff(fields, described); diff != "" {
			t.Errorf("%s: properties (-code +schema):\n%s", name, diff)
		}
		if diff := cmp.Diff(required, got); diff != "" {
			t.Errorf("%s: required (-code +schema):\n%s", name, diff)
		}
	}
}

// schema compiles a JSON schema with its formats (uri, date-time) asserted.
func schema(t testing.TB, path string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, data []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%v\n%s", err, data)
	}
}

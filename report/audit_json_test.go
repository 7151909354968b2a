package report

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// auditSchema compiles the schema of an audit, which refers to that of a report.
func auditSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	for name, path := range map[string]string{"report-v1.json": "report.schema.json", "audit-v1.json": "audit.schema.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("https://portcullis.dev/schemas/"+name, document); err != nil {
			t.Fatal(err)
		}
	}
	compiled, err := compiler.Compile("https://portcullis.dev/schemas/audit-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestAuditJSON(t *testing.T) {
	a := sampleAudit()
	got := writeAudit(t, "json", a)
	validate(t, auditSchema(t), got)
	validate(t, auditSchema(t), writeAudit(t, "json", &Audit{}))
	var back Audit
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	a.Results = a.sorted()
	if diff := cmp.Diff(a, &back); diff != "" {
		t.Errorf("after decoding (-want +got):\n%s", diff)
	}
}

func TestAuditFormats(t *testing.T) {
	if _, err := ParseAuditFormat("sarif"); err == nil || err.Error() != `output format "sarif" is not known: use text, json, html` {
		t.Errorf("got %v, want the formats", err)
	}
}

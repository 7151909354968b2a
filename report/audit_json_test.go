package report

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

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
	use := ExceptionUse{Exemption: Exemption{Exception: "sys/old", Owner: "team", Reason: "because", ExpiresAt: "2026-12-31T23:59:59Z"}, Objects: 2}
	use.SetDaysLeft(time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC))
	a.Images = []PinnedImage{{Namespace: "shop", Image: "nginx:1@sha256:0", State: TagMoved, Tag: "sha256:1", Workloads: 5, Examples: []string{"Deployment/web"}}}
	a.Denied = []Denied{{Namespace: "shop", Kind: "Pod", Name: "x\x1b[2J", User: "user", Policy: "p", Rule: "digests", Count: 3, First: "2026-01-01T00:00:00Z", Last: "2026-01-02T00:00:00Z"}}
	if text := writeAudit(t, "text", a); bytes.Contains(text, []byte("\x1b")) || !bytes.Contains(text, []byte(`shop: Pod "x\x1b[2J" refused 3 times by digests of policy "p", asked by a user, the last time at 2026-01-02T00:00:00Z`)) {
		t.Errorf("got no line about refused requests without control characters:\n%s", text)
	}
	a.Exceptions = []ExceptionUse{use, {Exemption: Exemption{Exception: "sys/void", Owner: "team", Reason: "because"}}}
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

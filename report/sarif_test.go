package report

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v2/sarif"
)

// sarifSchema is the official schema of SARIF 2.1.0 errata 01, as the module
// github.com/owenrumney/go-sarif/v3 v3.3.1 carries it. Its source is
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json
const sarifSchema = "testdata/sarif-2.1.0.schema.json"

func TestSARIF(t *testing.T) {
	got := write(t, "sarif", sample(), sampleOptions)
	validate(t, schema(t, sarifSchema), got)
	golden(t, "report.sarif", got)
	validate(t, schema(t, sarifSchema), write(t, "sarif", &Report{}, Options{}))
}

// TestSARIFForGitHub requires what GitHub code scanning refuses a file for, or
// makes false alerts of.
func TestSARIFForGitHub(t *testing.T) {
	run := sarifRun(t, sample())
	if got, want := len(run.Results), 5; got != want {
		t.Errorf("got %d results, want %d: failures, warnings and errors alone", got, want)
	}
	for _, r := range run.Results {
		if len(r.Locations) != 1 || *r.Locations[0].PhysicalLocation.ArtifactLocation.URI == "" {
			t.Errorf("%s: got locations %v, want one with a URI", *r.RuleID, r.Locations)
		}
		if rule := run.Tool.Driver.Rules[*r.RuleIndex]; rule.ID != *r.RuleID {
			t.Errorf("%s: got the index of rule %s", *r.RuleID, rule.ID)
		}
	}
	notes := run.Invocations[0].ToolExecutionNotifications
	if len(notes) != 1 || *notes[0].Message.Text != "rootUser of policy production was not judged for 2 objects: no registry is contacted without --online" {
		t.Errorf("got notifications %v, want one for what was skipped", notes)
	}
	if *run.Invocations[0].ExecutionSuccessful {
		t.Error("got a successful run, want none: a file could not be read")
	}
}

func sarifRun(t *testing.T, r *Report) *sarif.Run {
	t.Helper()
	var document sarif.Report
	if err := json.Unmarshal(write(t, "sarif", r, sampleOptions), &document); err != nil {
		t.Fatal(err)
	}
	return document.Runs[0]
}

func TestSARIFURI(t *testing.T) {
	for path, want := range map[string]string{
		"deploy/web.yaml":   "deploy/web.yaml",
		"a b/ü#?%.yaml":     "a%20b/%C3%BC%23%3F%25.yaml",
		"/srv/a b.yaml":     "file:///srv/a%20b.yaml",
		"c:x.yaml":          "./c:x.yaml",
		"-":                 "stdin",
		"":                  "stdin",
		"../up.yaml":        "../up.yaml",
		"javascript:alert":  "./javascript:alert",
		"//host/share.yaml": "file:////host/share.yaml",
	} {
		if got := sarifURI(Result{Source: path}); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

// TestFingerprint requires that a result keeps its identity when lines and values
// change, and loses it when it is about something else.
func TestFingerprint(t *testing.T) {
	base := sample().Results[0]
	for name, change := range map[string]func(*Result){
		"line":     func(r *Result) { r.Line, r.Column = 99, 1 },
		"value":    func(r *Result) { r.Value = "other" },
		"message":  func(r *Result) { r.Message, r.Fix = "reworded", "reworded" },
		"document": func(r *Result) { r.Document = 7 },
		"index":    func(r *Result) { r.Field = strings.Replace(r.Field, "[0]", "[12]", 1) },
		"mode":     func(r *Result) { r.Mode, r.Result = "Warn", Warn },
	} {
		r := base
		change(&r)
		if cmp.Equal(base, r) {
			t.Fatalf("%s: nothing changed", name)
		}
		if identity(r) != identity(base) {
			t.Errorf("another %s: got another fingerprint, want the same", name)
		}
	}
	for name, change := range map[string]func(*Result){
		"source":    func(r *Result) { r.Source = "other.yaml" },
		"object":    func(r *Result) { r.Name = "other" },
		"namespace": func(r *Result) { r.Namespace = "other" },
		"container": func(r *Result) { r.Container = "other" },
		"rule":      func(r *Result) { r.Check = "other" },
		"policy":    func(r *Result) { r.Policy = "other" },
		"field":     func(r *Result) { r.Field += ".other" },
	} {
		r := base
		change(&r)
		if identity(r) == identity(base) {
			t.Errorf("another %s: got the same fingerprint, want another", name)
		}
	}
}

func TestSARIFTextIsNoLink(t *testing.T) {
	r := &Report{}
	r.Add(Result{Source: "a.yaml", Rule: "expressions", Result: Fail, Message: "see [this](https://evil.example)"})
	if got := *sarifRun(t, r).Results[0].Message.Text; strings.Contains(got, "](") {
		t.Errorf("got %q, which viewers show as a link", got)
	}
}

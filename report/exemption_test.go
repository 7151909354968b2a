package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exemptReport has one finding that is exempt, and an exception that nobody needs.
func exemptReport(reason string) *Report {
	r := &Report{Summary: Summary{Objects: 2, Files: 1}}
	exemption := Exemption{Exception: "portcullis-system/exporter", Owner: "team-a", Reason: reason, ExpiresAt: "2026-12-31T23:59:59Z"}
	r.Add(Result{
		Source: "web.yaml", Document: 1, Line: 3, Column: 5, Kind: "Pod", Namespace: "web", Name: "x", Policy: "production", Rule: "podSecurity", Check: "hostPorts",
		Mode: "Enforce", Result: Skip, Container: "app", Field: "spec.containers[0].ports[0].hostPort", Value: 80, Fix: "remove it",
		Message: `exempt (would fail) by portcullis-system/exporter of "team-a" until 2026-12-31T23:59:59Z: forbidden`, Exemption: &Exemption{exemption.Exception, exemption.Owner, reason, exemption.ExpiresAt},
	}, Result{Source: "web.yaml", Document: 1, Kind: "Pod", Namespace: "web", Name: "x", Policy: "production", Rule: "digests", Mode: "Enforce", Result: Pass})
	r.AddException(ExceptionUse{Exemption: exemption, Objects: 1, Needed: 1})
	other := &Report{}
	exemption.ExpiresAt = "2026-12-01T00:00:00Z" // for another policy
	other.AddException(ExceptionUse{Exemption: exemption, EndsIn: "3 days", Objects: 2, Needed: 1})
	other.AddException(ExceptionUse{Exemption: Exemption{Exception: "portcullis-system/alone", Owner: "team\x1b[31m", ExpiresAt: "2026-12-01T00:00:00Z"}, Objects: 1})
	r.Merge(other)
	return r
}

func TestExceptionUses(t *testing.T) {
	r := exemptReport("because")
	var got []string
	for _, use := range r.Exceptions {
		got = append(got, use.String())
	}
	want := []string{
		`portcullis-system/alone of "team\x1b[31m" until 2026-12-01T00:00:00Z: not needed by the one object that it covers`,
		`portcullis-system/exporter of "team-a" until 2026-12-01T00:00:00Z, which is in 3 days: needed by 2 of 3 objects that it covers`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	if r.Summary.Skip != 1 || r.Summary.Exempt != 1 {
		t.Errorf("got %+v, want one skipped, which is exempt", r.Summary)
	}
	if got, want := verdict(r), "nothing is refused"; got != want {
		t.Errorf("got verdict %q, want %q", got, want)
	}
}

// TestExemptFormats requires that every format that shows findings tells what is
// exempt, as a finding that leads to nothing and never among what was not judged.
func TestExemptFormats(t *testing.T) {
	r := exemptReport("because")
	for _, format := range Formats() {
		got := string(write(t, format, r, sampleOptions))
		if !strings.Contains(got, "portcullis-system/exporter") {
			t.Errorf("%s: got no exception:\n%s", format, got)
		}
		if strings.Contains(strings.ToLower(got), "not judged") {
			t.Errorf("%s: got something that was not judged:\n%s", format, got)
		}
	}
	validate(t, schema(t, "report.schema.json"), write(t, "json", r, sampleOptions))
	validate(t, schema(t, sarifSchema), write(t, "sarif", r, sampleOptions))
	requireJUnit(t, write(t, "junit", r, sampleOptions))
	requirePolicyReports(t, write(t, "policyreport", r, sampleOptions))
	run := sarifRun(t, r)
	if len(run.Results) != 1 || len(run.Results[0].Suppressions) != 1 || *run.Results[0].Suppressions[0].Status != "accepted" || *run.Results[0].Level != "note" {
		t.Errorf("got SARIF results %+v, want one note, suppressed", run.Results)
	}
}

// TestHostileExemption has the author of an exception try to break the output.
func TestHostileExemption(t *testing.T) {
	r := exemptReport("\x1b[2J</script><img src=x>](http://evil.example)\u202e")
	for _, format := range Formats() {
		got := write(t, format, r, sampleOptions)
		if format != "json" && bytes.ContainsAny(got, "\x1b\u202e") {
			t.Errorf("%s: got control characters of the reason or the owner", format)
		}
		if format == "html" && bytes.Contains(got, []byte("<img src=x>")) {
			t.Error("html: got markup of the reason")
		}
		if format == "sarif" && bytes.Contains(got, []byte("](http://evil")) {
			t.Error("sarif: got a link of the reason")
		}
	}
}

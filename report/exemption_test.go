package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

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
	exemption.ExpiresAt = "2026-12-01T00:00:00Z" // for another policy
	r.AddException(ExceptionUse{Exemption: exemption, EndsIn: "3 days", Objects: 2, Needed: 1})
	r.AddException(ExceptionUse{Exemption: Exemption{Exception: "portcullis-system/alone", Owner: "team\x1b[31m", ExpiresAt: "2026-12-01T00:00:00Z"}, Objects: 1})
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

// TestExceptionResults has what an audit says about exceptions: how long they have,
// and which can go.
func TestExceptionResults(t *testing.T) {
	now := time.Date(2026, 12, 20, 23, 0, 0, 0, time.UTC)
	use := func(ends string, objects, needed int) ExceptionUse {
		return ExceptionUse{Exemption: Exemption{Exception: "sys/x", Owner: "team", Reason: "a\x1b[2Jb", ExpiresAt: ends}, Objects: objects, Needed: needed}
	}
	for _, test := range []struct {
		use  ExceptionUse
		want string
	}{
		{use("2026-12-31T00:00:00Z", 2, 1), "pass needed: sys/x of \"team\" until 2026-12-31T00:00:00Z (11 days left): needed by 1 of 2 objects that it covers"},
		{use("2026-12-21T00:00:00Z", 1, 0), "warn notNeeded: sys/x of \"team\" until 2026-12-21T00:00:00Z (1 day left): not needed by the one object that it covers"},
		{use("2026-12-20T23:59:59Z", 0, 0), "warn notNeeded: sys/x of \"team\" until 2026-12-20T23:59:59Z (ends today): covers nothing"},
		{use("2026-12-20T23:00:00Z", 0, 0), "warn ended: sys/x of \"team\" until 2026-12-20T23:00:00Z (ended today): covers nothing"},
		{use("2026-12-19T00:00:00Z", 0, 0), "warn ended: sys/x of \"team\" until 2026-12-19T00:00:00Z (ended 1 day ago): covers nothing"},
		{use("", 0, 0), "warn ineffective: sys/x of \"team\": counts for no policy in force"},
	} {
		r := test.use.Result(now)
		if got, want := fmt.Sprintf("%s %s: %s", r.Result, r.Check, r.Message), test.want+`; reason: "a\x1b[2Jb"`; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
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

// TestExceptionEndedToday requires that every format tells that an exception has
// ended, on the day of its end too.
func TestExceptionEndedToday(t *testing.T) {
	end := sampleOptions.Time.Truncate(time.Second)
	for _, test := range []struct {
		now              time.Time
		text, html, json string
	}{
		{end.Add(-time.Second), "(ends today)", "less than a day left", `"daysLeft":0`},
		{end, "(ended today)", ">ended<", `"ended":true`},
	} {
		use := ExceptionUse{Exemption: Exemption{Exception: "sys/x", Owner: "team", Reason: "because", ExpiresAt: end.UTC().Format(time.RFC3339)}}
		use.SetDaysLeft(test.now)
		a := &Audit{Report: Report{Exceptions: []ExceptionUse{use}}}
		for format, want := range map[Format]string{"text": test.text, "html": test.html, "json": test.json} {
			var b bytes.Buffer
			if err := WriteAudit(&b, format, a, Options{Time: test.now}); err != nil {
				t.Fatal(err)
			}
			got := b.String()
			if format == "json" {
				got = strings.ReplaceAll(got, " ", "")
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s at %s: got no %q:\n%s", format, test.now, want, got)
			}
			if format == "json" && strings.Contains(got, "ended") != use.Ended {
				t.Errorf("json at %s: got\n%s\nwant ended to be there: %v", test.now, got, use.Ended)
			}
		}
	}
}

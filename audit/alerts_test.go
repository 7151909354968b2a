package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/cloudevents/cloudeventstest"
	"github.com/portcullis-dev/portcullis/report"
)

type readAlert struct {
	ID, Type, Subject string
	Data              struct {
		Kind, Namespace, Name, UID string
		Pods, New, Known           int
		Findings                   []map[string]string
	}
}

func alertLines(t *testing.T, bodies [][]byte) (lines []string) {
	t.Helper()
	for _, body := range bodies {
		var e readAlert
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s new=%d known=%d", e.Subject, e.Data.New, e.Data.Known)
		for _, f := range e.Data.Findings {
			line += " " + f["rule"]
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func TestAlerts(t *testing.T) {
	sink, read := cloudeventstest.NewSink(t)
	a := NewAlerts(sink)
	now := time.Unix(1_000_000, 0)
	knew := func(r *report.Result) bool { return r.Rule != "images" }
	tell := func(what string, workloads []string, want ...string) {
		t.Helper()
		a.Tell(found(now, workloads...), knew)
		if diff := cmp.Diff(want, alertLines(t, read())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		now = now.Add(10 * time.Minute)
	}
	tell("first: only what no report knows", []string{"web Enforce:images! Warn:probes", "db Warn:probes"}, "namespaces/shop/Deployment/web new=1 known=1 images")
	tell("the same", []string{"web Enforce:images! Warn:probes", "db Warn:probes"})
	tell("more", []string{"web Enforce:images! Warn:probes", "db Warn:probes Audit:digests"}, "namespaces/shop/Deployment/db new=1 known=1 digests")
	tell("nothing new for ever", []string{"web Enforce:images! Warn:probes", "db Warn:probes Audit:digests"})
	now = now.Add(1000 * time.Hour)
	tell("nothing new for ever", []string{"web Enforce:images! Warn:probes", "db Warn:probes Audit:digests"})
}

func TestAlertsAreBounded(t *testing.T) {
	sink, read := cloudeventstest.NewSink(t)
	a := NewAlerts(sink)
	now := time.Unix(1_000_000, 0)
	nothing := func(*report.Result) bool { return false }
	a.Tell(found(now), nothing)
	var workloads []string
	for i := range 300 {
		workloads = append(workloads, fmt.Sprintf("w%d Warn:probes", i))
	}
	seen := map[string]bool{}
	for _, want := range []int{100, 200, 300, 300} {
		a.Tell(found(now, workloads...), nothing)
		for _, line := range alertLines(t, read()) {
			seen[line] = true
		}
		if len(seen) != want {
			t.Errorf("got %d workloads told about, want %d", len(seen), want)
		}
		now = now.Add(10 * time.Minute)
	}
}

// TestAlertSize holds that the worst of all workloads makes an event that is
// delivered.
func TestAlertSize(t *testing.T) {
	sink, read := cloudeventstest.NewSink(t)
	a := NewAlerts(sink)
	s := found(time.Unix(1000, 0), "web")
	markup := strings.Repeat("<\x00", 10_000)
	for i := range 2000 {
		s.Workloads[0].Findings = append(s.Workloads[0].Findings, report.Result{
			Policy: "p", Rule: "r", Mode: "Enforce", Result: report.Fail, Container: strings.Repeat("c", 63), Field: fmt.Sprintf("spec[%d]", i) + markup,
			Value: markup, Message: markup, Fix: markup,
		})
	}
	a.Tell(s, func(*report.Result) bool { return false })
	bodies := read()
	if len(bodies) != 1 {
		t.Fatalf("got %d events, want 1", len(bodies))
	}
	want := "namespaces/shop/Deployment/web new=2000 known=0 r r r r r"
	if got := alertLines(t, bodies); got[0] != want || len(bodies[0]) > cloudevents.MaxBytes {
		t.Errorf("got %d bytes, %s, want %s", len(bodies[0]), got, want)
	}
	t.Logf("%d bytes", len(bodies[0]))
}

// TestReportsKnew holds what a new leader takes for new: what the reports of the one
// before do not have, if they can tell.
func TestReportsKnew(t *testing.T) {
	s := &store{served: []string{"openreports.io"}, objects: map[string]map[string]any{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keep := func(worst int, findings map[string]int) (*Reports, *Scan) {
		t.Helper()
		r := &Reports{Writer: s, Worst: worst}
		scan := scanOf(now, findings)
		if _, err := r.Keep(t.Context(), scan); err != nil {
			t.Fatal(err)
		}
		now = now.Add(100 * time.Millisecond) // a leader may follow within the second to which reports are exact
		return r, scan
	}
	knew := func(r *Reports, scan *Scan) (known, unknown int) {
		for i := range scan.Workloads {
			for _, f := range scan.Workloads[i].Results() {
				if r.knew(&f) {
					known++
				} else {
					unknown++
				}
			}
		}
		return known, unknown
	}
	for _, step := range []struct {
		name           string
		worst          int
		findings       map[string]int
		known, unknown int
	}{
		{"there were no reports", 5, map[string]int{"shop": 2, "clean": 0}, 2, 0},
		{"nothing is new", 5, map[string]int{"shop": 2, "clean": 0}, 2, 0},
		{"one is new, in a namespace that was clean another, and a namespace is", 5, map[string]int{"shop": 3, "clean": 1, "new": 1}, 2, 3},
		{"not all were in the report", 3, map[string]int{"shop": 4, "clean": 1, "new": 1}, 6, 0},
	} {
		r, scan := keep(step.worst, step.findings)
		if known, unknown := knew(r, scan); known != step.known || unknown != step.unknown {
			t.Errorf("%s: got %d known and %d new, want %d and %d", step.name, known, unknown, step.known, step.unknown)
		}
	}
}

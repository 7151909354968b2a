package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
)

// TestAway marks what was created in a gap and would have been refused, and nothing
// else.
func TestAway(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int) string { return begin.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339) }
	gap := presence.Gap{From: begin.Add(10 * time.Minute), Until: begin.Add(20 * time.Minute), Policies: map[string]string{"p": "now"}}
	objects := []made{
		{kind: "Pod", name: "before", image: "bad:1", created: at(5)},
		{kind: "Pod", name: "in", image: "bad:1", created: at(15)},
		{kind: "Pod", name: "good", image: "good:1", created: at(15)},
		{kind: "Pod", name: "after", image: "bad:1", created: at(25)},
		{kind: "Pod", name: "lapsed", image: "bad:1", created: at(15)},
		// A Deployment of before, whose pods come and go.
		{kind: "Deployment", name: "old", image: "bad:1", created: at(0)},
		{kind: "ReplicaSet", name: "old-1", owner: "Deployment/old", image: "bad:1", created: at(0)},
		{kind: "Pod", name: "old-1-a", owner: "ReplicaSet/old-1", image: "bad:1", created: at(0)},
		{kind: "Pod", name: "old-1-b", owner: "ReplicaSet/old-1", image: "bad:1", created: at(16)},
		{kind: "Pod", name: "old-1-c", owner: "ReplicaSet/old-1", image: "bad:1", created: at(17)},
		// One that came in with all that it made.
		{kind: "Deployment", name: "new", image: "bad:1", created: at(15)},
		{kind: "ReplicaSet", name: "new-1", owner: "Deployment/new", image: "bad:1", created: at(15)},
		{kind: "Pod", name: "new-1-a", owner: "ReplicaSet/new-1", image: "bad:1", created: at(25)},
		// Pods of what is not listed, which nobody refuses.
		{kind: "Pod", name: "db-1", owner: "Database/db", image: "good:1", created: at(15)},
		{kind: "Pod", name: "db-2", owner: "Database/db", image: "good:1", created: at(5)},
	}
	marked := func(gaps []presence.Gap, policies map[string]string) []string {
		t.Helper()
		judge := &imageJudge{rules: Rules{Policies: policies}, lapsed: map[string]string{"lapsed": "p"}, excepting: map[string]string{"lapsed": "sys/x"}}
		scan, err := (&Scanner{Pager: clusterOf(t, objects...), Judge: judge, Gaps: gaps}).Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i := range scan.Workloads {
			w := &scan.Workloads[i]
			for _, r := range w.Results() {
				if (r.AdmittedWhileDown != nil) != (w.Away != nil) {
					t.Errorf("%s: got %v, away %v", w.Name, r.AdmittedWhileDown, w.Away)
				}
			}
			if w.Away != nil {
				names = append(names, fmt.Sprintf("%s %s of %d", w.Kind.Name, w.Name, w.Pods))
			}
			if w.Name == "db-1" && w.Pods != 2 {
				t.Errorf("got %d pods of the database, want 2: nothing is wrong with them", w.Pods)
			}
		}
		if got := scan.Report().AdmittedWhileDown; got != len(names) {
			t.Errorf("got %d in the report, want %d", got, len(names))
		}
		return names
	}
	want := []string{"Deployment new of 1", "Pod in of 1", "Pod old-1-b of 2"}
	if diff := cmp.Diff(want, marked([]presence.Gap{gap}, map[string]string{"p": "now"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, got := range map[string][]string{
		"no gap":                     marked(nil, map[string]string{"p": "now"}),
		"the policy said other then": marked([]presence.Gap{gap}, map[string]string{"p": "other"}),
		"the policy was not there":   marked([]presence.Gap{{From: gap.From, Until: gap.Until}}, map[string]string{"p": "now"}),
	} {
		if got != nil {
			t.Errorf("%s: got %v, want nothing marked", name, got)
		}
	}
}

// TestOpenGap holds that a gap which has not ended is told without an end: another one
// each time would have reports written each time.
func TestOpenGap(t *testing.T) {
	says := map[string]string{"p": "now"}
	from := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for open, want := range map[bool]string{true: "since 2026-11-21T09:00:00Z", false: "between 2026-11-21T09:00:00Z and 2026-11-21T09:05:00Z"} {
		w := &Workload{Away: &presence.Gap{From: from, Until: from.Add(5 * time.Minute), Open: open, Policies: says}, policies: says, Judgement: &Judgement{}}
		results := []report.Result{{Policy: "p", Result: report.Fail}}
		w.markAway(results)
		if got := results[0].AdmittedWhileDown; got == nil || got.String() != want {
			t.Errorf("open %t: got %v, want %q", open, got, want)
		}
	}
}

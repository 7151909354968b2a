package audit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// found is a scan with Deployments, each with findings written mode:rule:
// "web Enforce:images Warn:probes". A rule that ends in ! fails.
func found(at time.Time, workloads ...string) *Scan {
	s := &Scan{Started: at}
	for _, text := range workloads {
		words := strings.Fields(text)
		j := &Judgement{Matched: true}
		for _, word := range words[1:] {
			mode, rule, _ := strings.Cut(word, ":")
			r := report.Result{Policy: "p", Rule: strings.TrimSuffix(rule, "!"), Mode: mode, Result: report.Warn, Field: "spec.x", Message: "it is wrong", Fix: "write it right"}
			if strings.HasSuffix(rule, "!") {
				r.Result = report.Fail
			}
			j.Findings = append(j.Findings, r)
		}
		s.Workloads = append(s.Workloads, Workload{Kind: pod.Kinds()[3], Namespace: "shop", Name: words[0], UID: "uid-" + words[0], Pods: 2, Judgement: j})
	}
	return s
}

// linesOf are the news of a scan: each workload with its rules, how many others it has,
// and whether it is old news.
func linesOf(list []fresh) []string {
	var all []string
	for _, f := range list {
		text := f.Name
		for _, r := range f.Findings {
			text += " " + r.Rule
		}
		if f.Others > 0 {
			text += fmt.Sprintf(" +%d", f.Others)
		}
		if f.Again {
			text += " again"
		}
		all = append(all, text)
	}
	return all
}

func TestNews(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	n := &news{counts: isFinding, again: 24 * time.Hour}
	step := func(what string, s *Scan, want ...string) {
		t.Helper()
		list := n.of(s)
		if diff := cmp.Diff(want, linesOf(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		for i := range list {
			n.tell(&list[i], s.Started)
		}
	}
	two := []string{"db Warn:probes", "web Warn:probes Enforce:images!"}
	step("first", found(now, two...), "web images probes", "db probes")
	for range 50 {
		now = now.Add(10 * time.Minute)
		step("the same", found(now, two...))
	}
	two[0] += " Enforce:digests!"
	step("one more", found(now, two...), "db digests +1")
	step("the same as that", found(now, two...))
	two[1] = "web Enforce:images!"
	step("one is mended", found(now, two...))
	two[1] = "web Enforce:images! Warn:probes"
	step("and is back", found(now, two...), "web probes +1")
	now = now.Add(time.Hour)
	step("a new workload", found(now, append(two, "new Audit:images")...), "new images")
	step("a workload is gone", found(now, two...))
	step("and created anew", found(now, append(two, "new Audit:images")...), "new images")
	now = now.Add(24*time.Hour - 30*time.Minute)
	two[0] += " Warn:logging"
	step("a day after, and one thing new", found(now, two...), "db logging +2", "web images probes again")
	partial := found(now)
	partial.Problems = []Problem{{What: "deployments.apps", Err: errors.New("forbidden")}}
	step("a scan that sees nothing", partial)
	step("and one that does", found(now, two...))
	if step("nothing is left", found(now)); len(n.known) != 0 {
		t.Errorf("got %d workloads remembered, want none: all are gone", len(n.known))
	}
}

// TestNewsOfTheSameJudgement holds that what has not been judged anew is not looked
// at, and that what has not been told stays news.
func TestNewsOfTheSameJudgement(t *testing.T) {
	n := &news{counts: isFinding}
	s := found(time.Unix(1000, 0), "web Warn:probes")
	for range 3 {
		if list := n.of(s); len(list) != 1 {
			t.Fatalf("got %d, want 1: nobody has told it", len(list))
		}
	}
	list := n.of(s)
	n.tell(&list[0], s.Started)
	looked := 0
	n.counts = func(*report.Result) bool { looked++; return true }
	if list := n.of(s); len(list) != 0 || looked != 0 {
		t.Errorf("got %d, %d findings looked at, want none", len(list), looked)
	}
}

// BenchmarkNews is a scan of 50,000 findings in which nothing has changed, once with
// the judgements of the scan before, once with others that say the same.
func BenchmarkNews(b *testing.B) {
	var workloads []string
	for i := range 5000 {
		workloads = append(workloads, fmt.Sprintf("w%d Warn:a Warn:b Warn:c Warn:d Warn:e Enforce:f! Enforce:g! Enforce:h! Enforce:i! Enforce:j!", i))
	}
	scans := []*Scan{found(time.Unix(1000, 0), workloads...), found(time.Unix(1000, 0), workloads...)}
	for name, second := range map[string]int{"same judgements": 0, "other judgements": 1} {
		b.Run(name, func(b *testing.B) {
			n := &news{counts: isFinding}
			list := n.of(scans[0])
			for i := range list {
				n.tell(&list[i], scans[0].Started)
			}
			for i := 0; b.Loop(); i++ {
				if list := n.of(scans[(i%2+1)*second%2]); len(list) != 0 {
					b.Fatalf("got %d, want nothing new", len(list))
				}
			}
		})
	}
}

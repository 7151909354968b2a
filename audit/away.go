package audit

import (
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
)

// gap is the one in which an object was created, nil for none. The API server sets
// that time, and takes no other one from anybody.
func (c *scanning) gap(created string) *presence.Gap {
	if len(c.Gaps) == 0 {
		return nil
	}
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		return nil
	}
	for i := range c.Gaps {
		if c.Gaps[i].Covers(at) {
			return &c.Gaps[i]
		}
	}
	return nil
}

// confirmAway leaves the gap only with what would have been refused, had somebody been
// there. Pods that were kept apart from their equals for a gap that does not count join
// them again.
func (c *scanning) confirmAway() {
	if len(c.Gaps) == 0 {
		return
	}
	policies := c.Judge.Rules().Policies
	for _, e := range c.order {
		if e.away == nil || e.judged == nil || slices.ContainsFunc(e.judged.Findings, func(f report.Result) bool {
			return refusedSince(e.away, policies, e.judged.Lapsed, &f)
		}) {
			continue
		}
		e.away = nil
	}
	for g, e := range c.groups {
		equals := c.groups[group{g.namespace, g.owner, g.key, nil}]
		if g.away == nil || e.away != nil || equals == nil {
			continue
		}
		e.into = equals
		equals.pods += e.pods
		if e.name < equals.name {
			equals.name, equals.uid = e.name, e.uid
		}
	}
}

// refusedSince reports whether a finding about an object that was created in a gap
// would have refused it then: its policy said at the begin of the gap what it says now,
// and no exception covered the object that has ended since.
func refusedSince(gap *presence.Gap, policies map[string]string, lapsed []string, f *report.Result) bool {
	says := policies[f.Policy]
	return f.Result == report.Fail && says != "" && gap.Policies[f.Policy] == says && !slices.Contains(lapsed, f.Policy)
}

// markAway marks the results that would have refused the workload.
func (w *Workload) markAway(results []report.Result) {
	if w.Away == nil {
		return
	}
	for i := range results {
		if r := &results[i]; refusedSince(w.Away, w.policies, w.Lapsed, r) {
			r.AdmittedWhileDown = &report.Absence{From: w.Away.From.UTC().Format(time.RFC3339)}
			if !w.Away.Open { // else it ends later each time, and reports would be written for that
				r.AdmittedWhileDown.Until = w.Away.Until.UTC().Format(time.RFC3339)
			}
		}
	}
}

package audit

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/portcullis-dev/portcullis/report"
)

// news tells which findings of a scan have not been told yet, so that a scan in which
// nothing has changed tells nothing.
type news struct {
	// counts says which findings are to be told. Required.
	counts func(*report.Result) bool
	// again is after how long the findings of a workload are told again while they
	// are there. Zero: never.
	again time.Duration

	known map[string]told // by UID of the workload
}

// told is what has been told about one workload.
type told struct {
	findings []uint64 // sorted
	at       time.Time
	// of is the judgement that they are from. While it is the same there is nothing
	// to look at.
	of *Judgement
}

// fresh is a workload with something to tell about.
type fresh struct {
	*Workload
	// Findings are those to tell, the worst first.
	Findings []report.Result
	// Others are how many findings of the workload have been told before.
	Others int
	// Again is set where all of them have been told before, long ago.
	Again bool

	all []uint64
}

// of are the workloads of a scan with something to tell about: what is new before
// what is to be told again, and what would be refused before what would be warned
// about. Workloads that are gone are forgotten.
func (n *news) of(s *Scan) []fresh {
	var list []fresh
	known := make(map[string]told, len(n.known))
	for i := range s.Workloads {
		w := &s.Workloads[i]
		before, seen := n.known[w.UID]
		due := seen && n.again > 0 && s.Started.Sub(before.at) >= n.again
		if seen && before.of == w.Judgement && !due {
			known[w.UID] = before
			continue
		}
		f := n.compare(w, before, due)
		if len(f.Findings) == 0 {
			if len(f.all) > 0 {
				known[w.UID] = told{f.all, before.at, w.Judgement}
			}
			continue
		}
		if seen {
			known[w.UID] = told{findings: before.findings, at: before.at} // until it is told
		}
		list = append(list, f)
	}
	if len(s.Problems) > 0 { // what was not seen may be there
		for uid, before := range n.known {
			if _, ok := known[uid]; !ok {
				known[uid] = before
			}
		}
	}
	n.known = known
	slices.SortStableFunc(list, func(a, b fresh) int {
		return cmp.Or(compareBool(a.Again, b.Again), cmp.Compare(severity(b.Findings[0].Result), severity(a.Findings[0].Result)))
	})
	return list
}

// compare finds what is to be told about one workload.
func (n *news) compare(w *Workload, before told, due bool) fresh {
	f := fresh{Workload: w}
	results := w.Results()
	ids := make([]uint64, len(results))
	for i := range results {
		if n.counts(&results[i]) {
			ids[i] = findingID(&results[i])
			f.all = append(f.all, ids[i])
		}
	}
	isNew := func(id uint64) bool {
		_, there := slices.BinarySearch(before.findings, id)
		return !there
	}
	f.Again = due && !slices.ContainsFunc(f.all, isNew)
	for i := range results {
		if !n.counts(&results[i]) {
			continue
		}
		if f.Again || isNew(ids[i]) {
			f.Findings = append(f.Findings, results[i])
		} else {
			f.Others++
		}
	}
	slices.Sort(f.all)
	slices.SortStableFunc(f.Findings, func(a, b report.Result) int { return report.Worst(&a, &b) })
	return f
}

// tell notes that a workload's findings have been told.
func (n *news) tell(f *fresh, at time.Time) {
	n.known[f.UID] = told{f.all, at, f.Judgement}
}

// findingID is short, since all of them are kept.
func findingID(r *report.Result) uint64 {
	id, _ := strconv.ParseUint(r.ID()[:16], 16, 64) // hexadecimal by what ID promises
	return id
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

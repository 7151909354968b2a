package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/portcullis-dev/portcullis/report"
)

// Report is the scan as people and programs read it.
func (s *Scan) Report() *report.Audit {
	a := &report.Audit{}
	counts := map[string]*report.NamespaceCounts{}
	matrix := newMatrixCount()
	for i := range s.Workloads {
		w := &s.Workloads[i]
		n := counts[w.Namespace]
		if n == nil {
			n = &report.NamespaceCounts{Namespace: w.Namespace}
			counts[w.Namespace] = n
		}
		w.count(n)
		matrix.add(w)
		a.Pods += w.Pods
		a.Summary.Objects++
		a.Summary.Pass += w.Passed
		if !w.Matched {
			a.Summary.Unmatched++
		}
		if w.Away != nil {
			a.AdmittedWhileDown++
		}
		a.Add(w.Results()...)
		for _, c := range w.Changes {
			c.Kind, c.Namespace, c.Name = w.Kind.Name, w.Namespace, w.Name
			a.Changes = append(a.Changes, c)
		}
	}
	a.Images, a.Denied = s.Images, s.Denied
	for _, x := range s.Exceptions {
		x.SetDaysLeft(s.Started)
		a.Exceptions = append(a.Exceptions, x.ExceptionUse)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		a.Namespaces = append(a.Namespaces, *counts[name])
	}
	a.Readiness = matrix.cells()
	for _, p := range s.Problems {
		a.Unseen = append(a.Unseen, p.Error())
	}
	if s.MoreProblems > 0 {
		a.Unseen = append(a.Unseen, fmt.Sprintf("and %d more", s.MoreProblems))
	}
	return a
}

// Results are the findings about the workload. Their source is its namespace.
func (w *Workload) Results() []report.Result {
	results := slices.Clone(w.Findings)
	for i := range results {
		r := &results[i]
		if r.Source == "" { // it is from no file
			r.Source = "namespaces/" + w.Namespace
		}
		r.Kind, r.Namespace, r.Name = w.Kind.Name, w.Namespace, w.Name
	}
	w.markAway(results)
	return results
}

func (w *Workload) count(n *report.NamespaceCounts) {
	n.Workloads++
	n.Pods += w.Pods
	switch w.worst() {
	case report.Fail:
		n.Denied++
	case report.Warn:
		n.Warned++
	case report.Skip:
		n.Skipped++
	}
	if slices.ContainsFunc(w.Changes, func(c report.Change) bool { return c.Mode == "Enforce" }) {
		n.Mutated++
	}
	if !w.Matched {
		n.Unmatched++
	}
}

// matrixCount adds up the readiness of workloads by namespace, level and version.
type matrixCount struct {
	order []matrixKey
	byKey map[matrixKey]*cellCount
}

type matrixKey struct{ namespace, level, version string }

type cellCount struct {
	report.Readiness
	blockers map[string]*report.Blocker
}

func newMatrixCount() *matrixCount { return &matrixCount{byKey: map[matrixKey]*cellCount{}} }

func (m *matrixCount) add(w *Workload) {
	for _, r := range w.Readiness {
		k := matrixKey{w.Namespace, r.Level, r.Version}
		c := m.byKey[k]
		if c == nil {
			c = &cellCount{Readiness: report.Readiness{
				Namespace: w.Namespace, Level: r.Level, Version: r.Version, Blockers: []report.Blocker{},
			}, blockers: map[string]*report.Blocker{}}
			m.byKey[k] = c
			m.order = append(m.order, k)
		}
		c.Workloads++
		if len(r.Blockers) == 0 {
			continue
		}
		c.Blocked++
		if len(r.Left) == 0 {
			c.Repairable++
		}
		for _, check := range r.Blockers {
			b := c.blockers[check]
			if b == nil {
				b = &report.Blocker{Check: check}
				c.blockers[check] = b
			}
			b.Workloads++
			if !slices.Contains(r.Left, check) {
				b.Repairable++
			}
		}
	}
}

// cells are in the order in which they came up, which is that of the workloads:
// by namespace.
func (m *matrixCount) cells() []report.Readiness {
	var cells []report.Readiness
	for _, k := range m.order {
		c := m.byKey[k]
		for _, b := range c.blockers {
			c.Readiness.Blockers = append(c.Readiness.Blockers, *b)
		}
		report.SortBlockers(c.Readiness.Blockers)
		cells = append(cells, c.Readiness)
	}
	return cells
}

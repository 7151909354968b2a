package audit

import (
	"cmp"
	"slices"

	"github.com/portcullis-dev/portcullis/report"
)

// Exception is an exception of the rules, with what it is good for among what runs.
type Exception struct {
	report.ExceptionUse
	// In are the same counts for each namespace with something that it covers.
	In map[string]ExceptionCount
}

// ExceptionCount counts the workloads that an exception covers, and those of them
// that need it.
type ExceptionCount struct{ Objects, Needed int }

// exceptionEntities are the workloads that an exception covers, by whether they
// need it.
type exceptionEntities struct {
	use    report.ExceptionUse
	needed map[*entity]bool
}

// exceptions are all that there are. What counts with its owner does so here too,
// and an owner whose pods need an exception that it does not need itself needs it.
func (c *scanning) exceptions() []Exception {
	byName := map[string]*exceptionEntities{}
	take := func(use report.ExceptionUse) *exceptionEntities {
		known := byName[use.Exception]
		if known == nil {
			known = &exceptionEntities{use, map[*entity]bool{}}
			byName[use.Exception] = known
		}
		return known
	}
	for _, use := range c.Judge.Rules().Exceptions {
		take(use)
	}
	for _, e := range c.order {
		if e.judged == nil { // it only keeps a record
			continue
		}
		for _, use := range e.judged.Exceptions {
			known, root := take(use), e.root()
			known.needed[root] = known.needed[root] || use.Needed > 0
		}
	}
	all := make([]Exception, 0, len(byName))
	partial := len(c.Namespaces) > 0 || len(c.scan.Problems) > 0
	for _, known := range byName {
		x := known.count()
		if partial && x.Needed == 0 && x.ExpiresAt != "" && !x.EndedBy(c.scan.Started) {
			continue // what was not looked at may need it
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b Exception) int { return cmp.Compare(a.Exception, b.Exception) })
	return all
}

func (e *exceptionEntities) count() Exception {
	x := Exception{ExceptionUse: e.use, In: map[string]ExceptionCount{}}
	x.Objects, x.Needed = len(e.needed), 0
	for entity, needed := range e.needed {
		in := x.In[entity.namespace]
		in.Objects++
		if needed {
			in.Needed++
			x.Needed++
		}
		x.In[entity.namespace] = in
	}
	return x
}

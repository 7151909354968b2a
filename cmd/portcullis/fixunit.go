package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/input/rewrite"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// unit is the text of one document and the objects in it, which are many in a List.
// It is repaired as a whole, or left as it was.
type unit struct {
	file      *input.File
	index     int // of the document in its file
	documents []*input.Document
	workloads []*input.Document
	problems  []*input.Problem

	text []byte // repaired
	done []mended
	left []report.Result

	made    []change
	refused map[string]error // by change.key
}

// unitsOf are the documents of a file, in their order.
func unitsOf(f *input.File) []*unit {
	var units []*unit
	at := func(index int) *unit {
		if n := len(units); n > 0 && units[n-1].index == index {
			return units[n-1]
		}
		units = append(units, &unit{file: f, index: index, refused: map[string]error{}})
		return units[len(units)-1]
	}
	for d, p := range f.Documents() {
		if p != nil {
			u := at(p.Document)
			u.problems = append(u.problems, p)
			continue
		}
		u := at(d.Index)
		u.documents = append(u.documents, d)
		if d.Workload != nil {
			u.workloads = append(u.workloads, d)
		}
		u.text = d.Raw()
	}
	return units
}

// foreign reports whether there is nothing of Kubernetes in it.
func (u *unit) foreign() bool {
	return len(u.problems) == 0 && !slices.ContainsFunc(u.documents, func(d *input.Document) bool { return d.Kind != "" })
}

// assemble is the file with the texts of its units.
func assemble(f *input.File, units []*unit) []byte {
	var b bytes.Buffer
	at := 0
	for _, u := range units {
		if len(u.documents) == 0 {
			continue
		}
		start, old := u.documents[0].Offset(), u.documents[0].Raw()
		b.Write(f.Data[at:start])
		b.Write(u.text)
		at = start + len(old)
	}
	if at == 0 {
		return f.Data
	}
	b.Write(f.Data[at:])
	return b.Bytes()
}

// sameShape reports whether a text has the objects and the problems of the file.
func sameShape(f *input.File, text []byte) bool {
	if bytes.Equal(f.Data, text) {
		return true
	}
	shape := func(f *input.File) (names []string) {
		for d, p := range f.Documents() {
			if p != nil {
				names = append(names, fmt.Sprint(p.Document, p.Field, p.Message))
				continue
			}
			names = append(names, fmt.Sprint(d.Index, d.Item, d.APIVersion, d.Kind, d.Namespace, d.Name))
		}
		return names
	}
	return slices.Equal(shape(f), shape(f.With(text)))
}

// maxRounds is how often a unit is judged and mended: what the mutators set, what
// the findings ask for after that, and what comes to light then.
const maxRounds = 6

// repair mends the unit and says what it did.
func (u *unit) repair(ctx context.Context, by *deriver) {
	defer func() {
		if reason := recover(); reason != nil {
			p, d := mistake(reason), u.documents[0]
			p.Source, p.Document, p.Line = d.Source, d.Index, d.Line()
			u.text, u.made, u.done = d.Raw(), nil, nil
			u.left = append(problemResults(u.problems), problemResult(p))
		}
	}()
	u.left = problemResults(u.problems)
	if len(u.workloads) == 0 {
		return
	}
	r := &round{unit: u, deriver: by}
	for range maxRounds {
		if !r.run(ctx) {
			u.undo("it could not be read with it")
			return
		}
		if len(r.changes) == 0 {
			break
		}
		if again := u.again(r.changes); again >= 0 {
			u.undo("its fix does not hold: " + r.changes[again].text())
			return
		}
		u.apply(r.changes)
	}
	if broken := r.broken(); broken != "" {
		u.undo(broken)
		return
	}
	u.left = append(u.left, r.left()...)
	for _, c := range u.made {
		u.done = append(u.done, c.mended(u.workloads[c.item]))
	}
}

// undo leaves the document as it was, because of a fix that does not do what it
// should.
func (u *unit) undo(reason string) {
	if len(u.workloads) == 0 {
		return
	}
	u.text, u.done = u.documents[0].Raw(), nil
	for _, c := range u.made {
		r := c.result(u.workloads[c.item], report.Skip)
		r.Message = c.text()
		if c.finding != nil {
			r = resultOf(u.workloads[c.item], *c.finding, unanswered{})
		}
		r.Message += "; it is not fixed, and the document is left as it was, because " + reason
		u.left = append(u.left, r)
	}
	u.made = nil
}

// again is the first of the changes that was made before, -1: none was.
func (u *unit) again(changes []change) int {
	made := make(map[string]bool, len(u.made))
	for _, m := range u.made {
		made[m.key()] = true
	}
	return slices.IndexFunc(changes, func(c change) bool { return made[c.key()] })
}

// apply writes changes into the text.
func (u *unit) apply(changes []change) {
	edits := make([]pod.Edit, len(changes))
	for i, c := range changes {
		edits[i] = c.edit
	}
	text, refusals := rewrite.Apply(u.text, edits)
	u.text = text
	for _, r := range refusals {
		u.refused[keyOf(r.Edit)] = r.Err
	}
	for _, c := range changes {
		if u.refused[c.key()] == nil { // nothing is tried again that was refused
			u.made = append(u.made, c)
		}
	}
}

// change is one edit of the text, and what it is for.
type change struct {
	item int // the object in unit.workloads
	// edit has paths of the document, field those of the object.
	edit      pod.Edit
	field     pod.Path
	rule      string
	container string
	// evidence is what a mutator derives the value from.
	evidence string
	// finding is what it mends, nil for what a mutator sets.
	finding *engine.Finding
}

func (c change) key() string { return keyOf(c.edit) }

// keyOf tells edits of one document apart.
func keyOf(e pod.Edit) string { return e.Path.Pointer() + "\x00" + engine.Quote(e.New) }

// text says what changes.
func (c change) text() string {
	text := ""
	if c.container != "" {
		text = "container " + engine.Quote(c.container) + ": "
	}
	text += c.field.String()
	switch {
	case c.edit.New == nil:
		return text + " is removed, it was " + engine.Quote(c.edit.Old)
	case c.edit.Old != nil:
		text += " is changed from " + engine.Quote(c.edit.Old) + " to " + engine.Quote(c.edit.New)
	default:
		text += " is set to " + engine.Quote(c.edit.New)
	}
	if c.evidence != "" {
		text += ", from " + c.evidence
	}
	return text
}

// mended says what was done, or would be, and where in the file as it was.
type mended struct{ place, text string }

func (c change) mended(d *input.Document) mended {
	return mended{report.Place(c.result(d, report.Pass)), c.rule + ": " + c.text()}
}

// result is about the field that changes.
func (c change) result(d *input.Document, outcome report.Outcome) report.Result {
	r := objectResult(d)
	r.Line, r.Column = d.Position(c.field)
	r.Rule, r.Result = c.rule, outcome
	return r
}

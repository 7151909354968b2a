package rewrite

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/pod"
)

// batch is edits that do not get into each other's way, so that one reading of the
// text and one proof do for all of them: a List of a thousand objects takes as many
// readings as its worst object.
type batch struct {
	document *document
	edits    []pod.Edit
	steps    []step
	splices  []splice
	refused  []Refusal
	// rest are the edits that have to wait, in their order.
	rest []pod.Edit

	parents, prefixes map[string]bool
}

// plan picks from edits what can be made in the text at once. Each call decides about
// the first of them at least.
func plan(text []byte, edits []pod.Edit) (*batch, error) {
	d, root, err := read(text)
	if err != nil {
		return nil, err
	}
	b := &batch{document: d, parents: map[string]bool{}, prefixes: map[string]bool{}}
	for i, e := range edits {
		all := steps(e)
		switch {
		case b.related(e):
			b.wait(e)
			continue
		case len(all) > 1 && i == 0:
			b.edits, b.rest = edits[:1], edits[1:]
			return b, nil // it is made alone
		case len(all) > 1:
			b.wait(e)
			continue
		}
		c, err := d.change(root, all[0])
		switch {
		case err != nil:
			b.refused = append(b.refused, Refusal{e, err})
		case slices.ContainsFunc(b.splices, c.touches):
			b.wait(e)
		default:
			b.note(e)
			b.edits, b.steps, b.splices = append(b.edits, e), append(b.steps, all[0]), append(b.splices, c)
		}
	}
	return b, nil
}

// apply makes all of them, or returns why not.
func (b *batch) apply() ([]byte, error) {
	if len(b.splices) < len(b.edits) {
		return nil, errors.New("they are made one by one")
	}
	next := b.document.with(b.splices)
	return next, prove(b.document.text, next, b.steps)
}

func (b *batch) wait(e pod.Edit) {
	b.note(e)
	b.rest = append(b.rest, e)
}

// related reports whether one of the edits so far may change what is around this
// one: the field that one of them is added to is on the way to the other.
func (b *batch) related(e pod.Edit) bool {
	pointer := e.Path.Pointer()
	if b.prefixes[parentOf(pointer)] {
		return true
	}
	for at := pointer; at != ""; at = parentOf(at) {
		if b.parents[at] {
			return true
		}
	}
	return b.parents[""]
}

func (b *batch) note(e pod.Edit) {
	pointer := e.Path.Pointer()
	b.parents[parentOf(pointer)] = true
	for at := pointer; ; at = parentOf(at) {
		b.prefixes[at] = true
		if at == "" {
			return
		}
	}
}

// parentOf is the JSON Pointer of what a field is in.
func parentOf(pointer string) string { return pointer[:max(strings.LastIndexByte(pointer, '/'), 0)] }

// touches reports whether two splices are at one place.
func (s splice) touches(o splice) bool {
	return !s.empty() && !o.empty() && s.start <= o.end && o.start <= s.end
}

// empty reports whether a splice changes nothing.
func (s splice) empty() bool { return s.start == s.end && s.text == "" }

// with is the text after splices, none of which touches another.
func (d *document) with(splices []splice) []byte {
	sorted := slices.Clone(splices)
	slices.SortFunc(sorted, func(a, b splice) int { return a.start - b.start })
	var b bytes.Buffer
	at := 0
	for _, s := range sorted {
		b.Write(d.text[at:s.start])
		b.WriteString(s.text)
		at = s.end
	}
	b.Write(d.text[at:])
	return b.Bytes()
}

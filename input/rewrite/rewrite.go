// Package rewrite changes single fields in the text of a manifest and leaves
// every other byte as it was: comments, order, quoting, indentation, blank lines
// and line ends.
//
// A library that reads YAML and writes it again loses some of that, and a diff in
// which ten lines were asked for and two hundred moved is one that nobody reviews.
// Each edit is proved: the text must read, as kubectl reads it, as the old object
// with that one field changed, or the edit is refused and the text stays.
package rewrite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/pod"
)

// Refusal is an edit that could not be made in the text, and why not.
type Refusal struct {
	Edit pod.Edit
	Err  error
}

// Apply makes edits in the text of one document, YAML or JSON, one after the
// other. Their paths are those of the document. An edit that the text cannot take,
// such as one of a field that an alias brings, is among the refusals, and the
// others are made.
func Apply(text []byte, edits []pod.Edit) (edited []byte, refused []Refusal) {
	refuse := func(e pod.Edit, err error) { refused = append(refused, Refusal{e, err}) }
	for pending := edits; len(pending) > 0; {
		b, err := plan(text, pending)
		if err != nil {
			for _, e := range pending {
				refuse(e, err)
			}
			return text, refused
		}
		pending = b.rest
		for _, r := range b.refused {
			refuse(r.Edit, r.Err)
		}
		if next, err := b.apply(); err == nil {
			text = next
			continue
		}
		for _, e := range b.edits { // one of them is to blame
			next, err := alone(text, e)
			if err != nil {
				refuse(e, err)
				continue
			}
			text = next
		}
	}
	return text, refused
}

// alone makes one edit, in steps of one field each, or none of it.
func alone(text []byte, e pod.Edit) ([]byte, error) {
	for _, s := range steps(e) {
		d, root, err := read(text)
		if err != nil {
			return nil, err
		}
		c, err := d.change(root, s)
		if err != nil {
			return nil, err
		}
		next := d.with([]splice{c})
		if err := prove(text, next, []step{s}); err != nil {
			return nil, err
		}
		text = next
	}
	return text, nil
}

// step is the change of one field: it is set, or with a nil value taken away.
type step struct {
	path  []string
	value any // as encoding/json reads it
}

// steps are those of an edit. A list that loses elements loses them one by one,
// so that the comments of the others stay.
func steps(e pod.Edit) []step {
	path := e.Path.Tokens()
	before, wasList := generic(e.Old).([]any)
	after, isList := generic(e.New).([]any)
	if !wasList || !isList || len(after) == 0 || len(after) >= len(before) {
		return []step{{path, generic(e.New)}}
	}
	var all []step
	kept := len(after)
	for i := len(before) - 1; i >= 0; i-- {
		if kept > 0 && reflect.DeepEqual(before[i], after[kept-1]) {
			kept--
			continue
		}
		all = append(all, step{append(slices.Clone(path), strconv.Itoa(i)), nil})
	}
	if kept > 0 {
		return []step{{path, after}}
	}
	return all
}

// generic is a value of a Go type as encoding/json reads what it writes.
func generic(value any) any {
	data, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil
	}
	return v
}

// prove requires that the new text reads as the old one with some fields changed.
func prove(old, updated []byte, steps []step) error {
	want, err := decode(old)
	if err != nil {
		return err
	}
	for _, s := range steps {
		want = s.set(want, s.path)
	}
	if got, err := decode(updated); err != nil || !reflect.DeepEqual(want, got) {
		return errors.New("the text is written in a way that does not allow to change this field alone")
	}
	return nil
}

// decode reads a document as kubectl does.
func decode(text []byte) (v any, err error) {
	if isJSON(text) {
		err = json.Unmarshal(text, &v)
	} else {
		err = sigsyaml.Unmarshal(text, &v)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	return v, nil
}

// set is what v is after the step, whose path below v is given.
func (s step) set(v any, path []string) any {
	if len(path) == 0 {
		return s.value
	}
	switch at := v.(type) {
	case []any:
		i, err := strconv.Atoi(path[0])
		switch {
		case err != nil || i < 0 || i > len(at):
			return v
		case i == len(at):
			return append(at, s.set(nil, path[1:]))
		case len(path) == 1 && s.value == nil:
			return slices.Delete(at, i, i+1)
		}
		at[i] = s.set(at[i], path[1:])
		return at
	case map[string]any:
		if len(path) == 1 && s.value == nil {
			delete(at, path[0])
			return at
		}
		at[path[0]] = s.set(at[path[0]], path[1:])
		return at
	}
	return map[string]any{path[0]: s.set(nil, path[1:])}
}

// read finds the places of a text.
func read(text []byte) (*document, *yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(asYAML(text), &root); err != nil {
		return nil, nil, fmt.Errorf("reading the document: %w", err)
	}
	if len(root.Content) == 0 {
		return nil, nil, errors.New("the document is empty")
	}
	return newDocument(text, &root), root.Content[0], nil
}

// surrogate is half a character in JSON, which YAML does not have.
var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// asYAML is a text of the same length, with everything in the same place, that a
// YAML library reads: in JSON tabs are white space.
func asYAML(text []byte) []byte {
	if !isJSON(text) {
		return text
	}
	return surrogate.ReplaceAll(bytes.ReplaceAll(text, []byte("\t"), []byte(" ")), []byte(`\u0020`))
}

// change is the step in the text.
func (d *document) change(root *yaml.Node, s step) (splice, error) {
	at, err := locate(root, s.path)
	if err != nil {
		return splice{}, err
	}
	switch {
	case at.value == nil && s.value == nil:
		return splice{}, nil
	case at.value == nil:
		return d.insert(at, s.value)
	case s.value == nil:
		return d.remove(at)
	}
	return d.replace(at, s.value)
}

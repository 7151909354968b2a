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
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	for _, e := range edits {
		next, err := apply(text, e)
		if err != nil {
			refused = append(refused, Refusal{e, err})
			continue
		}
		text = next
	}
	return text, refused
}

// apply makes one edit, in steps of one field each, or none of it.
func apply(text []byte, e pod.Edit) ([]byte, error) {
	for _, s := range steps(e) {
		next, err := splice(text, s)
		if err != nil {
			return nil, err
		}
		if err := prove(text, next, s); err != nil {
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

// prove requires that the new text reads as the old one with one field changed.
func prove(old, updated []byte, s step) error {
	var want, got any
	if err := sigsyaml.Unmarshal(old, &want); err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	want = s.set(want, s.path)
	if err := sigsyaml.Unmarshal(updated, &got); err != nil || !reflect.DeepEqual(want, got) {
		return errors.New("the text is written in a way that does not allow to change this field alone")
	}
	return nil
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

// splice makes the step in the text.
func splice(text []byte, s step) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	if len(root.Content) == 0 {
		return nil, errors.New("the document is empty")
	}
	d := newDocument(text)
	at, err := locate(root.Content[0], s.path)
	if err != nil {
		return nil, err
	}
	switch {
	case at.value == nil && s.value == nil:
		return text, nil
	case at.value == nil:
		return d.insert(at, s.value)
	case s.value == nil:
		return d.remove(at)
	}
	return d.replace(at, s.value)
}

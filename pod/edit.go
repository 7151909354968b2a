package pod

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Edit is the change of one field.
type Edit struct {
	Path Path
	// Old is the value before, nil where the field was not set.
	Old any
	// New is the value after, nil where the field is taken away. No other edit of
	// the same patch reaches into it, except to append to a list that it made.
	New any
}

// operation is one operation of a JSON Patch (RFC 6902). A remove has no value.
type operation struct {
	op, path string
	value    any
}

// append writes the operation. Most values are short texts, which need no encoder.
func (o operation) append(patch []byte) ([]byte, error) {
	patch = append(append(patch, `{"op":"`...), o.op...)
	patch = append(patch, `","path":`...)
	patch, err := jsontext.AppendQuote(patch, o.path)
	if err != nil || o.value == nil {
		return append(patch, '}'), err
	}
	patch = append(patch, `,"value":`...)
	switch v := o.value.(type) {
	case string:
		patch, err = jsontext.AppendQuote(patch, v)
	case bool:
		patch = strconv.AppendBool(patch, v)
	default:
		// API types leave zero values out by the rules of encoding/json.
		var value []byte
		value, err = json.Marshal(v, json.Deterministic(true), jsonv1.OmitEmptyWithLegacySemantics(true))
		patch = append(patch, value...)
	}
	return append(patch, '}'), err
}

// Patch writes edits as a JSON Patch for the raw object they were made for.
// Only the fields of the edits are touched, so that what this build does not
// know survives; objects on the way to a field are made where they are missing.
// No edits make no patch: nil.
func Patch(raw []byte, edits []Edit) ([]byte, error) {
	if len(edits) == 0 {
		return nil, nil
	}
	p := patcher{object: index{raw: raw}, operations: make([]operation, 0, len(edits))}
	for _, e := range edits {
		if err := p.edit(e); err != nil {
			return nil, err
		}
	}
	const usual = 128 // bytes of an operation
	patch := append(make([]byte, 0, usual*len(p.operations)), '[')
	for i, o := range p.operations {
		if i > 0 {
			patch = append(patch, ',')
		}
		var err error
		if patch, err = o.append(patch); err != nil {
			return nil, fmt.Errorf("writing the patch: %w", err)
		}
	}
	return append(patch, ']'), nil
}

type patcher struct {
	object index
	// made are the objects that operations make, by pointer, and nil for each other
	// value that they set: nothing reaches into those but to append.
	made       map[string]map[string]any
	operations []operation
}

func (p *patcher) edit(e Edit) error {
	switch {
	case e.New == nil:
		p.append("remove", e.Path.Pointer(), nil)
	case e.Old != nil:
		p.append("replace", e.Path.Pointer(), e.New)
	default:
		if err := p.add(e); err != nil {
			return fmt.Errorf("reading the object to patch: %w", err)
		}
	}
	return nil
}

func (p *patcher) append(op, pointer string, value any) {
	p.operations = append(p.operations, operation{op, pointer, value})
}

// add sets a field that was not there. The first missing object on the way to it
// becomes an operation of its own; a later field inside that object joins it. An
// element goes to the end of its list, which is there.
func (p *patcher) add(e Edit) error {
	pointer := e.Path.Pointer()
	if p.made == nil {
		p.made = map[string]map[string]any{}
	}
	last := strings.LastIndexByte(pointer, '/')
	for end := 1; end <= last; end++ {
		if pointer[end] != '/' {
			continue
		}
		parent := pointer[:end]
		object, made := p.made[parent]
		if made && object == nil {
			continue // a list that an operation has set
		}
		if !made {
			found, err := p.object.has(parent)
			if err != nil {
				return err
			}
			if found {
				continue
			}
			object = map[string]any{}
			p.made[parent] = object
			p.append("add", parent, object)
		}
		if !join(object, tokens(pointer[end:]), e.New) {
			p.append("add", pointer, e.New)
		}
		return nil
	}
	p.made[pointer] = nil
	p.append("add", pointer, e.New)
	return nil
}

// join sets a field of an object that is being made, and makes the objects on the
// way to it. It does not reach into a list that was set there.
func join(object map[string]any, path []string, value any) bool {
	last := len(path) - 1
	for _, token := range path[:last] {
		switch next := object[token].(type) {
		case map[string]any:
			object = next
		case nil:
			made := map[string]any{}
			object[token], object = made, made
		default:
			return false
		}
	}
	object[path[last]] = value
	return true
}

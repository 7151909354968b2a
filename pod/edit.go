package pod

import (
	"fmt"
	"strconv"

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

// operation is one operation of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitzero"`
}

// Patch writes edits as a JSON Patch for the raw object they were made for.
// Only the fields of the edits are touched, so that what this build does not
// know survives; objects on the way to a field are made where they are missing.
// No edits make no patch: nil.
func Patch(raw []byte, edits []Edit) ([]byte, error) {
	if len(edits) == 0 {
		return nil, nil
	}
	p := patcher{raw: raw, operations: make([]operation, 0, len(edits))}
	for _, e := range edits {
		if err := p.edit(e); err != nil {
			return nil, err
		}
	}
	// API types leave zero values out by the rules of encoding/json.
	patch, err := json.Marshal(p.operations, json.Deterministic(true), jsonv1.OmitEmptyWithLegacySemantics(true))
	if err != nil {
		return nil, fmt.Errorf("writing the patch: %w", err)
	}
	return patch, nil
}

type patcher struct {
	raw        []byte
	object     any             // raw, read as far as fields are added; see expand
	made       map[string]bool // pointers of the objects that operations make
	operations []operation
}

func (p *patcher) edit(e Edit) error {
	switch {
	case e.New == nil:
		p.append("remove", e.Path.Pointer(), nil)
		return nil
	case e.Old != nil:
		p.append("replace", e.Path.Pointer(), e.New)
		return nil
	}
	if p.object == nil {
		var err error
		if p.object, err = expand(jsontext.Value(p.raw)); err != nil {
			return fmt.Errorf("reading the object to patch: %w", fieldError(err))
		}
	}
	return p.add(e)
}

func (p *patcher) append(op, pointer string, value any) {
	p.operations = append(p.operations, operation{Op: op, Path: pointer, Value: value})
}

// add sets a field that was not there. The first missing object on the way to it
// becomes an operation of its own; a later field inside that object joins it. An
// element goes to the end of its list, which is there.
func (p *patcher) add(e Edit) error {
	parts := tokens(e.Path.Pointer())
	last := len(parts) - 1
	at := p.object
	pointer := ""
	for i, part := range parts[:last] {
		next, err := child(at, part)
		if err != nil {
			return fmt.Errorf("reading the object to patch: %w", fieldError(err))
		}
		pointer += "/" + escape(part)
		if next != nil {
			at = next
			continue
		}
		value := e.New
		for j := last; j > i; j-- {
			value = map[string]any{parts[j]: value}
		}
		setChild(at, part, value)
		if !p.inside(pointer) {
			p.append("add", pointer, value)
			p.make(pointer)
		}
		return nil
	}
	setChild(at, parts[last], e.New)
	if !p.inside(e.Path.Pointer()) {
		p.append("add", e.Path.Pointer(), e.New)
	}
	return nil
}

// make notes an object that an operation makes.
func (p *patcher) make(pointer string) {
	if p.made == nil {
		p.made = map[string]bool{}
	}
	p.made[pointer] = true
}

// inside reports whether an earlier operation makes an object around pointer. What
// it asks about is as many objects as the pointer is deep, however many were made.
func (p *patcher) inside(pointer string) bool {
	for i := len(pointer) - 1; i > 0 && len(p.made) > 0; i-- {
		if pointer[i] == '/' && p.made[pointer[:i]] {
			return true
		}
	}
	return false
}

// child is the value at a token, nil where there is none.
func child(parent any, token string) (any, error) {
	switch p := parent.(type) {
	case map[string]any:
		value, err := expand(p[token])
		if value != nil {
			p[token] = value
		}
		return value, err
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(p) {
			return nil, nil
		}
		p[i], err = expand(p[i])
		return p[i], err
	}
	return nil, nil
}

// expand reads one level of JSON. What lies deeper stays raw until somebody goes
// there: a patch touches little of an object.
func expand(value any) (any, error) {
	raw, ok := value.(jsontext.Value)
	if !ok {
		return value, nil
	}
	switch raw.Kind() {
	case '{':
		var fields map[string]jsontext.Value
		err := json.Unmarshal(raw, &fields)
		object := make(map[string]any, len(fields))
		for name, field := range fields {
			object[name] = field
		}
		return object, err
	case '[':
		var elements []jsontext.Value
		err := json.Unmarshal(raw, &elements)
		list := make([]any, len(elements))
		for i, element := range elements {
			list[i] = element
		}
		return list, err
	case 'n':
		return nil, nil
	}
	return raw, nil
}

func setChild(parent any, token string, value any) {
	if p, ok := parent.(map[string]any); ok {
		p[token] = value
	}
}

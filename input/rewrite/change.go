package rewrite

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// insert adds a field, and the objects around it that are missing.
func (d *document) insert(at *location, value any) (splice, error) {
	parent := at.parent()
	value, err := nested(at.missing[1:], value)
	if err != nil {
		return splice{}, err
	}
	if parent.flow {
		return d.insertFlow(parent.node, at.missing[0], value)
	}
	if parent.node.Kind == yaml.SequenceNode {
		// There is an element: an empty list is in the style of JSON.
		last := parent.node.Content[len(parent.node.Content)-1]
		indent := parent.node.Column - 1
		lines, err := d.style.block([]any{value}, indent)
		if err != nil {
			return splice{}, err
		}
		return d.insertLines(d.lineEnd(d.blockEnd(last.Line-1, indent, false)-1), lines), nil
	}
	n := len(parent.node.Content)
	end := d.entryEnd(parent.node.Content[n-2], parent.node.Content[n-1])
	lines, err := d.style.block(map[string]any{at.missing[0]: value}, parent.node.Content[0].Column-1)
	if err != nil {
		return splice{}, err
	}
	return d.insertLines(d.lineEnd(end-1), lines), nil
}

// nested is a value inside objects with these keys.
func nested(keys []string, value any) (any, error) {
	for _, key := range slices.Backward(keys) {
		if strings.Trim(key, "0123456789") == "" {
			return nil, errors.New("the list it belongs to is missing")
		}
		value = map[string]any{key: value}
	}
	return value, nil
}

// insertFlow adds a field or an element to a collection in the style of JSON. It
// gets a line of its own where the others have one.
func (d *document) insertFlow(node *yaml.Node, key string, value any) (splice, error) {
	var entry string
	var err error
	if node.Kind == yaml.SequenceNode {
		entry, err = d.style.inline(value)
	} else {
		entry, err = d.style.inlineField(key, value)
	}
	if err != nil {
		return splice{}, err
	}
	f := scanFlow(d.text, d.offset(node))
	switch {
	case len(node.Content) == 0:
	case node.Content[0].Line > node.Line:
		entry = d.eol + d.indentation(node.Content[0]) + entry
	default:
		entry = " " + entry
	}
	if len(node.Content) > 0 && !f.comma {
		entry = "," + entry
	}
	return splice{f.content, f.content, entry}, nil
}

// replace puts another value in the place of one.
func (d *document) replace(at *location, value any) (splice, error) {
	value, err := nested(at.missing, value)
	if err != nil {
		return splice{}, err
	}
	parent := at.parent()
	if isNull(at.value) && at.value.Value == "" {
		return d.fill(at, value)
	}
	if isNull(at.value) || at.value.Kind == yaml.ScalarNode || at.value.Style&yaml.FlowStyle != 0 {
		start, end, err := d.span(at.value, parent.flow)
		if err != nil {
			return splice{}, err
		}
		if text, ok := as(at.value, value); ok && !d.style.json {
			return splice{start, end, text}, nil
		}
		write := d.style.inBlock
		if parent.flow {
			write = d.style.inline
		}
		text, err := write(value)
		if err != nil {
			return splice{}, err
		}
		return splice{start, end, text}, nil
	}
	if at.key == nil {
		return splice{}, errMultiline
	}
	// The lines below the key are the value.
	end := d.entryEnd(at.key, at.value)
	if at.value.Line == at.key.Line {
		return splice{}, errMultiline
	}
	lines, err := d.style.below(at.key.Value, value, at.key.Column-1)
	if err != nil {
		return splice{}, err
	}
	text := strings.Join(lines, d.eol) + d.eol
	return splice{d.starts[at.key.Line], d.lineEnd(end - 1), text}, nil
}

// fill gives a key that has nothing a value.
func (d *document) fill(at *location, value any) (splice, error) {
	if at.key == nil || at.parent().flow {
		return splice{}, errors.New("it stands for nothing (null); write the field out")
	}
	if _, isObject := value.(map[string]any); !isObject {
		text, err := d.style.inBlock(value)
		if err != nil {
			return splice{}, err
		}
		colon := quotedOrPlainEnd(d, at.key)
		return splice{colon, colon + 1, ": " + text}, nil
	}
	lines, err := d.style.below(at.key.Value, value, at.key.Column-1)
	if err != nil {
		return splice{}, err
	}
	return d.insertLines(d.lineEnd(at.key.Line-1), lines), nil
}

// remove takes a field or an element away.
func (d *document) remove(at *location) (splice, error) {
	parent := at.parent()
	first := at.value
	if at.key != nil {
		first = at.key
	}
	siblings := parent.node.Content
	width := 1 // nodes of one entry
	if parent.node.Kind == yaml.MappingNode {
		width = 2
	}
	i := slices.Index(siblings, first)
	switch {
	case parent.flow:
		return d.removeFlow(siblings, i, width)
	case len(siblings) == width:
		return d.empty(parent)
	case width == 1:
		dash := parent.node.Column - 1
		return splice{d.starts[first.Line-1], d.lineEnd(d.blockEnd(first.Line-1, dash, false) - 1), ""}, nil
	}
	end := d.entryEnd(at.key, at.value)
	if strings.TrimSpace(string(d.text[d.starts[first.Line-1]:d.offset(first)])) == "" {
		return splice{d.starts[first.Line-1], d.lineEnd(end - 1), ""}, nil
	}
	// It shares its line with the dash of a list: the next field takes its place.
	next := siblings[i+2]
	if next.Line-1 != end {
		return splice{}, errMultiline
	}
	return splice{d.offset(first), d.offset(next), ""}, nil
}

// empty leaves an empty object or list where one has lost its last entry.
func (d *document) empty(parent place) (splice, error) {
	if parent.key == nil || parent.node.Line == parent.key.Line {
		return splice{}, errMultiline
	}
	text := " {}"
	if parent.node.Kind == yaml.SequenceNode {
		text = " []"
	}
	at := quotedOrPlainEnd(d, parent.key) + 1 // after the colon
	end := d.lineEnd(d.entryEnd(parent.key, parent.node) - 1)
	rest := d.text[at:d.starts[parent.key.Line]] // a comment may follow the colon
	return splice{at, end, text + string(rest)}, nil
}

func quotedOrPlainEnd(d *document, key *yaml.Node) int {
	if key.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return quotedEnd(d.text, d.offset(key))
	}
	return plainEnd(d.text, d.offset(key), false)
}

// removeFlow takes the entry at i away, with the comma that it does not need any
// more.
func (d *document) removeFlow(siblings []*yaml.Node, i, width int) (splice, error) {
	start := d.offset(siblings[i])
	if i+width < len(siblings) {
		return splice{start, d.offset(siblings[i+width]), ""}, nil
	}
	_, end, err := d.span(siblings[i+width-1], true)
	if err != nil {
		return splice{}, err
	}
	if i > 0 {
		if _, start, err = d.span(siblings[i-1], true); err != nil {
			return splice{}, err
		}
	}
	return splice{start, end, ""}, nil
}

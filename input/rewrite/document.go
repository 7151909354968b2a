package rewrite

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/portcullis-dev/portcullis/input/lines"
)

// errMultiline refuses a text of several lines.
var errMultiline = errors.New("its value is written over several lines")

// document is a text whose lines are known.
type document struct {
	text   []byte
	starts []int // of each line
	eol    string
	style  style
}

// newDocument gives the nodes of the root the lines of the text.
func newDocument(text []byte, root *yaml.Node) *document {
	lines.Of(text).Move(root)
	d := &document{text: text, starts: lines.Starts(text), eol: string(lines.End(text)), style: styleOf(text, root)}
	if bytes.Contains(text, []byte("\r\n")) {
		d.eol = "\r\n"
	}
	return d
}

// offset is where a node begins.
func (d *document) offset(n *yaml.Node) int {
	at := d.starts[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}
	return at
}

// indentation is what stands before a node on its line; of text as many spaces.
func (d *document) indentation(n *yaml.Node) string {
	before := string(d.text[d.starts[n.Line-1]:d.offset(n)])
	if strings.Trim(before, " \t") == "" {
		return before
	}
	return strings.Repeat(" ", n.Column-1)
}

// line is the text of a line, counted from 0, without its end.
func (d *document) line(i int) string {
	return strings.TrimRight(string(d.text[d.starts[i]:d.lineEnd(i)]), "\r\n")
}

// lineEnd is the offset after a line and its end.
func (d *document) lineEnd(i int) int {
	if i+1 < len(d.starts) {
		return d.starts[i+1]
	}
	return len(d.text)
}

// splice puts text in the place of what is from start to end.
type splice struct {
	start, end int
	text       string
}

// insertLines puts lines before the offset, which is the start of a line or the
// end of the text.
func (d *document) insertLines(at int, inserted []string) splice {
	text := strings.Join(inserted, d.eol) + d.eol
	if at > 0 && d.text[at-1] != d.eol[len(d.eol)-1] {
		text = d.eol + strings.TrimSuffix(text, d.eol)
	}
	return splice{at, at, text}
}

// blockEnd is the line after the last one of what begins on a line, counted from
// 0, in a block that is indented so far: everything deeper belongs to it, and the
// dashes of a list may stand as far left as its key.
func (d *document) blockEnd(line, indent int, dashes bool) int {
	last := line
	for i := line + 1; i < len(d.starts); i++ {
		text := d.line(i)
		trimmed := strings.TrimLeft(text, " ")
		depth := len(text) - len(trimmed)
		dash := trimmed == "-" || strings.HasPrefix(trimmed, "- ")
		switch {
		case strings.TrimSpace(trimmed) == "":
		case depth > indent || dashes && dash && depth == indent:
			last = i
		case trimmed[0] != '#':
			return last + 1
		}
	}
	return last + 1
}

// entryEnd is the line after the last one of a field of a block.
func (d *document) entryEnd(key, value *yaml.Node) int {
	return d.blockEnd(key.Line-1, key.Column-1, value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0)
}

// span is where a value stands: a text on one line, or what is in the style of
// JSON.
func (d *document) span(n *yaml.Node, flow bool) (start, end int, err error) {
	start = d.offset(n)
	switch {
	case n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle == 0:
		return 0, 0, errMultiline
	case n.Kind != yaml.ScalarNode:
		return start, scanFlow(d.text, start).end, nil
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, 0, errMultiline
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return start, quotedEnd(d.text, start), nil
	}
	end = plainEnd(d.text, start, flow)
	if string(d.text[start:end]) != n.Value {
		return 0, 0, errMultiline
	}
	return start, end, nil
}

// Package lines brings the places that the YAML library names to the lines that an
// editor shows.
//
// YAML 1.1 has five line ends, of which editors and git count one: a U+2028 that came
// along with pasted text moves every place after it by a line. A report then points
// at the wrong line, and who edits by such places writes into the wrong one.
package lines

import (
	"bytes"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Map knows the lines of one text by both counts. The nil Map is that of a text in
// which they are the same.
type Map struct {
	// lines are by the number that the library has for them, from 0.
	lines []start
}

// start is where a line of the library begins, in lines and columns of an editor from 0.
type start struct{ line, column int }

// Of is the Map of a text, nil where the library and an editor see the same lines.
func Of(text []byte) *Map {
	if !odd(text) {
		return nil
	}
	m := &Map{lines: []start{{}}}
	end := End(text)
	at := start{}
	for i := 0; i < len(text); {
		size := breakAt(text[i:])
		switch {
		case size == 0:
			_, size = utf8.DecodeRune(text[i:])
			at.column++
			i += size
			continue
		case text[i+size-1] == end:
			at = start{line: at.line + 1}
		default:
			at.column += utf8.RuneCount(text[i : i+size])
		}
		i += size
		m.lines = append(m.lines, at)
	}
	return m
}

// odd reports whether a text has a line end that is neither \n nor \r\n.
func odd(text []byte) bool {
	for i := bytes.IndexByte(text, '\r'); i >= 0; {
		if i+1 == len(text) || text[i+1] != '\n' {
			return true
		}
		next := bytes.IndexByte(text[i+1:], '\r')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return bytes.Contains(text, []byte("\u0085")) || bytes.Contains(text, []byte("\u2028")) || bytes.Contains(text, []byte("\u2029"))
}

// End is the last byte of the line ends of a text: \n, or \r where there is no \n.
func End(text []byte) byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') >= 0 {
		return '\r'
	}
	return '\n'
}

// breakAt is the size of the line end that a text begins with, as YAML 1.1 has them
// (https://yaml.org/spec/1.1/#id871136), 0: it begins with none.
func breakAt(text []byte) int {
	switch {
	case bytes.HasPrefix(text, []byte("\r\n")):
		return 2
	case text[0] == '\n', text[0] == '\r':
		return 1
	case bytes.HasPrefix(text, []byte("\u0085")):
		return 2
	case bytes.HasPrefix(text, []byte("\u2028")), bytes.HasPrefix(text, []byte("\u2029")):
		return 3
	}
	return 0
}

// Line is the line of an editor for one of the library, both from 1.
func (m *Map) Line(line int) int {
	line, _ = m.Position(line, 1)
	return line
}

// Position is the line and the column of an editor for those of the library, all from
// 1.
func (m *Map) Position(line, column int) (editorLine, editorColumn int) {
	if m == nil || line < 1 {
		return line, column
	}
	s := m.lines[min(line, len(m.lines))-1]
	return s.line + 1, s.column + column
}

// Move gives a node and those inside it the places of an editor. The node comes from
// the library and was not moved before.
func (m *Map) Move(node *yaml.Node) {
	if m == nil {
		return
	}
	node.Line, node.Column = m.Position(node.Line, node.Column)
	for _, child := range node.Content {
		m.Move(child)
	}
}

// Starts are the offsets at which the lines of an editor begin. A line end that ends
// the text begins none.
func Starts(text []byte) []int {
	end := End(text)
	all := []int{0}
	for i, c := range text {
		if c == end && i+1 < len(text) {
			all = append(all, i+1)
		}
	}
	return all
}

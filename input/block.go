package input

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Nearly all manifests are written in one small part of YAML: block mappings and
// lists, scalars and flow collections that end on their line, literal blocks,
// comments. What stands here reads that part about fifteen times as fast as the
// YAML library, and remembers where each field stands. Anything else, and
// anything that is wrong, it leaves to the library: it may not understand a
// text, and never understands it differently (FuzzBlock).

// maxBlockKeys bounds a mapping that is searched for repeated keys, key by key.
const maxBlockKeys = 256

// maxBlockDepth bounds nesting.
const maxBlockDepth = 100

// block reads the common part of YAML and writes it as JSON. Its methods return
// false for what is not of that part.
type block struct {
	text   []byte
	line   []byte // the present line, without its end; nil at the end of the text
	next   int    // where the line after it begins
	number int32  // of the present line, from 1
	indent int    // of the present line
	out    []byte
	places placeTree
	depth  int
}

// readBlock returns the document as JSON, and where its fields stand.
func readBlock(text []byte) (jsontext.Value, placeTree, bool) {
	if !plainText(text) {
		return nil, nil, false
	}
	b := &block{text: text, out: make([]byte, 0, len(text)+len(text)/4), places: make(placeTree, 0, 16+len(text)/24)}
	b.advance()
	if b.line != nil && bytes.HasPrefix(b.line, []byte("---")) {
		if !isBlank(b.line[3:]) {
			return nil, nil, false
		}
		b.advance()
	}
	if b.line == nil || b.indent != 0 {
		return nil, nil, false
	}
	b.places = append(b.places, place{line: b.number, column: 1})
	if !b.collection(0) || b.line != nil {
		return nil, nil, false
	}
	b.places.close(0)
	return b.out, b.places, true
}

// plainText reports whether a text has no character that YAML treats specially
// wherever it stands: tabs, carriage returns, control characters, line separators
// of Unicode, byte order marks.
func plainText(text []byte) bool {
	ascii := true
	for i, c := range text {
		switch {
		case c >= ' ' && c < 0x7f, c == '\n':
		case c < 0x80, c == 0xc2, c == 0xef:
			return false
		case c == 0xe2 && i+2 < len(text) && text[i+1] == 0x80 && (text[i+2] == 0xa8 || text[i+2] == 0xa9):
			return false
		default:
			ascii = false
		}
	}
	return ascii || utf8.Valid(text)
}

// advance goes to the next line with content.
func (b *block) advance() {
	for b.next < len(b.text) {
		b.readLine()
		b.indent = indentOf(b.line)
		if b.indent < len(b.line) && b.line[b.indent] != '#' {
			return
		}
	}
	b.line, b.indent = nil, -1
}

// readLine goes to the next line, whatever is on it.
func (b *block) readLine() {
	rest := b.text[b.next:]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		b.line, b.next = rest, len(b.text)
	} else {
		b.line, b.next = rest[:end], b.next+end+1
	}
	b.number++
}

func indentOf(line []byte) int {
	i := 0
	for i < len(line) && line[i] == ' ' {
		i++
	}
	return i
}

// collection reads the mapping or the list that begins at the indent of the
// present line.
func (b *block) collection(at int) bool {
	if b.depth++; b.depth > maxBlockDepth {
		return false
	}
	defer func() { b.depth-- }()
	if isDash(b.line[at:]) {
		return b.list(at)
	}
	return b.mapping(at)
}

// isDash reports whether an element of a block list begins here.
func isDash(text []byte) bool {
	return len(text) > 0 && text[0] == '-' && (len(text) == 1 || text[1] == ' ')
}

// mapping reads the entries whose keys stand in column at. The first may stand
// behind the dash of a list.
func (b *block) mapping(at int) bool {
	b.out = append(b.out, '{')
	first := len(b.places)
	for count := 0; ; count++ {
		if count > 0 {
			b.out = append(b.out, ',')
		}
		key, rest, ok := b.key(at)
		if !ok || count == maxBlockKeys || b.places.has(first, key) {
			return false
		}
		entry := b.place(place{key: key}, at)
		b.out = append(append(append(b.out, '"'), key...), '"', ':')
		if !b.value(at, rest, entry, true) {
			return false
		}
		b.places.close(entry)
		if b.line == nil || b.indent < at {
			b.out = append(b.out, '}')
			return true
		}
		if b.indent > at || isDash(b.line[at:]) {
			return false
		}
	}
}

// place notes where a value stands and returns its number.
func (b *block) place(p place, column int) int32 {
	p.line, p.column = b.number, int32(utf8.RuneCount(b.line[:column]))+1
	b.places = append(b.places, p)
	return int32(len(b.places) - 1)
}

// list reads the elements whose dashes stand in column at.
func (b *block) list(at int) bool {
	b.out = append(b.out, '[')
	for i := int32(0); ; i++ {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		content := at + 1 + indentOf(b.line[at+1:])
		empty := content == len(b.line) || b.line[content] == '#'
		if empty {
			content = at
		}
		element := b.place(place{index: i}, content)
		switch {
		case empty && !b.value(at, len(b.line), element, false), !empty && !b.element(at, content, element):
			return false
		}
		b.places.close(element)
		if b.line == nil || b.indent < at || b.indent == at && !isDash(b.line[at:]) {
			b.out = append(b.out, ']')
			return true
		}
		if b.indent > at {
			return false
		}
	}
}

// element reads what stands behind a dash.
func (b *block) element(dash, content int, self int32) bool {
	if isDash(b.line[content:]) {
		return false
	}
	if _, _, ok := b.key(content); ok {
		if b.depth++; b.depth > maxBlockDepth {
			return false
		}
		defer func() { b.depth-- }()
		return b.mapping(content)
	}
	return b.value(dash, content, self, false)
}

// key reads a key in column at, and where on the line its value begins.
func (b *block) key(at int) (key string, rest int, ok bool) {
	line := b.line
	end := at
	quoted := byte(0)
	if at < len(line) && (line[at] == '"' || line[at] == '\'') {
		quoted = line[at]
		for end = at + 1; end < len(line) && line[end] != quoted; end++ {
			if line[end] == '\\' || line[end] == '"' {
				return "", 0, false
			}
		}
		end++
	} else {
		for end < len(line) && isKeyByte(line[end]) {
			end++
		}
	}
	if end >= len(line) || end == at || end-at > 512 || line[end] != ':' || end+1 < len(line) && line[end+1] != ' ' {
		return "", 0, false
	}
	key = string(line[at:end])
	if quoted != 0 {
		key = key[1 : len(key)-1]
	} else if !isString(line[at:end]) {
		return "", 0, false
	}
	// An empty key is how places tell elements of lists.
	return key, end + 1, key != ""
}

func isKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '/' || c == '-'
}

// value reads what stands on the line from column rest on, or below it, and goes
// to the line after it. The value belongs to an entry in column at; below the key
// of a mapping a list may stand in that same column.
func (b *block) value(at, rest int, self int32, ofMapping bool) bool {
	rest += indentOf(b.line[rest:])
	if rest == len(b.line) || b.line[rest] == '#' {
		b.advance()
		below := b.line != nil && (b.indent > at || ofMapping && b.indent == at && isDash(b.line[at:]))
		if !below {
			b.out = append(b.out, "null"...)
			return true
		}
		if !ofMapping { // an element stands where its content begins
			b.places[self].line, b.places[self].column = b.number, int32(b.indent)+1
		}
		return b.collection(b.indent)
	}
	if b.line[rest] == '|' {
		return b.literal(at, rest)
	}
	end, ok := b.inline(rest, false)
	if !ok || !b.ends(end) {
		return false
	}
	b.advance()
	return b.line == nil || b.indent <= at
}

// ends reports whether nothing but a comment follows on the line.
func (b *block) ends(at int) bool {
	rest := b.line[at:]
	spaces := indentOf(rest)
	return spaces == len(rest) || spaces > 0 && rest[spaces] == '#'
}

// inline reads a value that ends on its line, and returns where.
func (b *block) inline(at int, flow bool) (end int, ok bool) {
	switch b.line[at] {
	case '"', '\'':
		return b.quoted(at)
	case '[', '{':
		if b.depth++; b.depth > maxBlockDepth {
			return 0, false
		}
		defer func() { b.depth-- }()
		if b.line[at] == '[' {
			return b.flowList(at)
		}
		return b.flowMapping(at)
	}
	return b.plain(at, flow)
}

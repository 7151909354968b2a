package input

import (
	"bytes"
)

// part is the text of one document as it stands in a file.
type part struct {
	text   []byte
	offset int // bytes of the file before text
	line   int // lines of the file before text
	// stray is set where text follows the end of a document (a line of ...) without
	// a --- before it: a YAML library reads the first one and passes over the rest.
	stray bool
	json  bool // text is one JSON value
}

// split cuts a file at its document markers, lines that begin with ---, which no
// YAML document can contain (YAML 1.2.2, 9.1.2). A syntax error in one document
// does not hide the next. Parts without content are left out.
func split(data []byte) []part {
	var parts []part
	current := part{}
	begun, ended := false, false // whether the current part has content, and whether it is over
	add := func(end int) {
		if begun {
			current.text = data[current.offset:end]
			parts = append(parts, current)
		}
		begun, ended = false, false
	}
	line := 0
	for at := 0; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		text := data[at:end]
		switch {
		case isMarker(text, "---"):
			add(at)
			current = part{offset: at, line: line}
			begun = !isBlank(text[3:])
		case isMarker(text, "..."):
			ended = begun
		case !isBlank(text) && text[0] != '%':
			if ended {
				add(at)
				current = part{offset: at, line: line, stray: true}
			}
			begun = true
		}
		at = end
	}
	add(len(data))
	return parts
}

// isMarker reports whether a line is a document marker.
func isMarker(line []byte, marker string) bool {
	return len(line) >= 3 && string(line[:3]) == marker &&
		(len(line) == 3 || line[3] == '\n' || line[3] == '\r' || line[3] == ' ' || line[3] == '\t')
}

// isBlank reports whether a line has no content: white space, or a comment.
func isBlank(line []byte) bool {
	for _, c := range line {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '#'
	}
	return true
}

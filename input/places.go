package input

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// place is where a value stands: that of its key, or of the element of a list.
type place struct {
	key          string // empty for the element of a list
	index        int32  // of the element
	end          int32  // the place after those of all values inside this one
	line, column int32  // from 1
}

// placeTree is every place of a document in the order of its text, so that the
// places inside a value follow the value's own.
type placeTree []place

// close notes that all values inside the one at self have been added.
func (t placeTree) close(self int32) { t[self].end = int32(len(t)) }

// has reports whether a mapping whose places begin at first has a key.
func (t placeTree) has(first int, key string) bool {
	for i := first; i < len(t); i = int(t[i].end) {
		if t[i].key == key {
			return true
		}
	}
	return false
}

func (t placeTree) position(path []string) (line, column int) {
	at := 0
	for _, token := range path {
		next := t.child(at, token)
		if next == 0 {
			break
		}
		at = next
	}
	return int(t[at].line), int(t[at].column)
}

// child is the place of a key or an element of a value, 0 where there is none.
func (t placeTree) child(of int, token string) int {
	index, err := strconv.Atoi(token)
	isIndex := err == nil
	for i := of + 1; i < int(t[of].end); i = int(t[i].end) {
		p := &t[i]
		if p.key == token || isIndex && p.key == "" && int(p.index) == index {
			return i
		}
	}
	return 0
}

// jsonPlaces are the places of the values in JSON, which is valid.
func jsonPlaces(data []byte) placeTree {
	r := &jsonReader{data: data, line: 1, decoder: jsontext.NewDecoder(bytes.NewBuffer(data))}
	r.value(place{})
	return r.places
}

// jsonReader goes through JSON token by token.
type jsonReader struct {
	data    []byte
	decoder *jsontext.Decoder
	places  placeTree
	// line is that of the byte at, and start where the line begins.
	line, at, start int
}

// value adds the place of the value that comes next, and of those inside it.
func (r *jsonReader) value(p place) {
	r.add(p)
	r.inside(int32(len(r.places) - 1))
}

// inside adds the places inside the value that comes next, which is that at self.
func (r *jsonReader) inside(self int32) {
	defer func() { r.places.close(self) }()
	kind := r.decoder.PeekKind()
	if kind != '{' && kind != '[' {
		_ = r.decoder.SkipValue() // valid, and where it were not, the next token is none either
		return
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return
	}
	for i := int32(0); ; i++ {
		switch r.decoder.PeekKind() {
		case '}', ']', jsontext.KindInvalid:
			_, _ = r.decoder.ReadToken()
			return
		}
		if kind == '[' {
			r.value(place{index: i})
			continue
		}
		r.add(place{})
		entry := int32(len(r.places) - 1)
		key, err := r.decoder.ReadToken()
		if err != nil {
			return
		}
		r.places[entry].key = key.String()
		r.inside(entry)
	}
}

// add adds a place at the beginning of the token that comes next.
func (r *jsonReader) add(p place) {
	next := int(r.decoder.InputOffset())
	for next < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[next]) >= 0 {
		next++
	}
	r.line += bytes.Count(r.data[r.at:next], []byte("\n"))
	if i := bytes.LastIndexByte(r.data[r.at:next], '\n'); i >= 0 {
		r.start = r.at + i + 1
	}
	r.at = next
	p.line, p.column = int32(r.line), int32(utf8.RuneCount(r.data[r.start:next]))+1
	r.places = append(r.places, p)
}

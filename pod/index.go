package pod

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// index finds values in the raw bytes of an object by their pointers. A patch has to
// know which of a few fields are there: decoding the object for that again would be
// the most that a review costs.
type index struct {
	raw []byte
	// at is where the values begin that were looked for: absent where there is none,
	// or null.
	at map[string]int
	// elements is where the elements of a list begin, by where the list does.
	elements map[int][]int
}

const absent = -1

// has reports whether there is a value other than null. Of the object no more is
// read than the way there.
func (x *index) has(pointer string) (bool, error) {
	at, err := x.find(pointer)
	return at != absent, err
}

func (x *index) find(pointer string) (int, error) {
	if pointer == "" {
		return x.space(0), nil
	}
	if at, ok := x.at[pointer]; ok {
		return at, nil
	}
	slash := strings.LastIndexByte(pointer, '/')
	at, err := x.find(pointer[:slash])
	if err == nil && at != absent {
		at, err = x.child(at, unescape(pointer[slash+1:]))
	}
	if err != nil {
		return absent, err
	}
	if at != absent && x.raw[at] == 'n' {
		at = absent
	}
	if x.at == nil {
		x.at = map[string]int{}
	}
	x.at[pointer] = at
	return at, nil
}

// child is where the field or the element of a value begins.
func (x *index) child(at int, token string) (int, error) {
	switch x.byte(at) {
	case '{':
		return x.field(at, token)
	case '[':
		elements, err := x.list(at)
		if i, noNumber := strconv.Atoi(token); err == nil && noNumber == nil && i >= 0 && i < len(elements) {
			return elements[i], nil
		}
		return absent, err
	case 0:
		return absent, io.ErrUnexpectedEOF
	}
	return absent, nil
}

func (x *index) field(at int, name string) (int, error) {
	at = x.space(at + 1)
	for x.byte(at) == '"' {
		begin := at
		at = x.skipString(at)
		same, err := isName(x.raw[begin:at], name)
		if at = x.space(at); err != nil || x.byte(at) != ':' {
			return absent, errors.Join(err, x.unexpected(at))
		}
		if at = x.space(at + 1); same && at < len(x.raw) {
			return at, nil
		}
		if at = x.space(x.skip(at)); x.byte(at) == ',' {
			at = x.space(at + 1)
		}
	}
	if x.byte(at) != '}' {
		return absent, x.unexpected(at)
	}
	return absent, nil
}

// list is where the elements of a list begin. It is read once, however many of them
// are asked for.
func (x *index) list(at int) ([]int, error) {
	begin := at
	if elements, ok := x.elements[begin]; ok {
		return elements, nil
	}
	var elements []int
	for at = x.space(at + 1); x.byte(at) != ']'; {
		if x.byte(at) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		elements = append(elements, at)
		switch at = x.space(x.skip(at)); x.byte(at) {
		case ',':
			at = x.space(at + 1)
		case ']':
		default:
			return nil, x.unexpected(at)
		}
	}
	if x.elements == nil {
		x.elements = map[int][]int{}
	}
	x.elements[begin] = elements
	return elements, nil
}

// skip is where the value ends that begins at a place.
func (x *index) skip(at int) int {
	depth := 0
	for at < len(x.raw) {
		switch x.raw[at] {
		case '"':
			at = x.skipString(at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		default:
			at++
			if depth == 0 && (at == len(x.raw) || strings.IndexByte(",]} \t\r\n", x.raw[at]) >= 0) {
				return at // a number, true, false or null
			}
			continue
		}
		if depth <= 0 {
			return at
		}
	}
	return at
}

// skipString is where the string ends that begins at a place.
func (x *index) skipString(at int) int {
	for at++; at < len(x.raw); {
		quote := bytes.IndexByte(x.raw[at:], '"')
		if quote < 0 {
			break
		}
		at += quote + 1
		escapes := 0
		for x.raw[at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
	return len(x.raw)
}

func (x *index) space(at int) int {
	for at < len(x.raw) && (x.raw[at] == ' ' || x.raw[at] == '\n' || x.raw[at] == '\t' || x.raw[at] == '\r') {
		at++
	}
	return at
}

// byte is 0 after the end.
func (x *index) byte(at int) byte {
	if at >= len(x.raw) {
		return 0
	}
	return x.raw[at]
}

func (x *index) unexpected(at int) error {
	if at >= len(x.raw) {
		return io.ErrUnexpectedEOF
	}
	return errors.New("unexpected " + strconv.QuoteRune(rune(x.raw[at])) + " after byte " + strconv.Itoa(at))
}

// isName reports whether a JSON string is a name.
func isName(quoted []byte, name string) (bool, error) {
	if len(quoted) < 2 {
		return false, io.ErrUnexpectedEOF
	}
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name, nil
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return string(text) == name, err
}

package pod

import (
	"strconv"
	"strings"
)

// Path names one field of an object, both as a person writes it and as a JSON
// Pointer, so that a message and a patch never disagree. The zero value is the
// object itself.
type Path struct{ text, pointer string }

// Child is the field name of the object at p.
func (p Path) Child(name string) Path {
	text := name
	if p.text != "" {
		text = p.text + "." + name
	}
	return Path{text: text, pointer: p.pointer + "/" + escape(name)}
}

// Index is the i-th element, from 0, of the list at p.
func (p Path) Index(i int) Path {
	n := strconv.Itoa(i)
	return Path{text: p.text + "[" + n + "]", pointer: p.pointer + "/" + n}
}

// Key is the entry key of the map at p, such as an annotation.
func (p Path) Key(key string) Path {
	return Path{text: p.text + "[" + strconv.Quote(key) + "]", pointer: p.pointer + "/" + escape(key)}
}

// Join is the path q of the object at p.
func (p Path) Join(q Path) Path {
	switch {
	case p.text == "":
		return q
	case q.text == "" || q.text[0] == '[':
		return Path{text: p.text + q.text, pointer: p.pointer + q.pointer}
	}
	return Path{text: p.text + "." + q.text, pointer: p.pointer + q.pointer}
}

// String is the path as a person writes it: spec.containers[0].image.
func (p Path) String() string { return p.text }

// Pointer is the path as RFC 6901 writes it: /spec/containers/0/image.
func (p Path) Pointer() string { return p.pointer }

// Tokens are the keys and indices of the path, from the object inwards.
func (p Path) Tokens() []string { return tokens(p.pointer) }

// Generic is the path without the indices of lists, equal for one field of each
// element: spec.containers[].image.
func (p Path) Generic() string {
	var b strings.Builder
	index := false
	for i := 0; i < len(p.text); i++ {
		c := p.text[i]
		index = c == '[' || index && c >= '0' && c <= '9'
		if c == '[' || !index {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func escape(token string) string {
	if !strings.ContainsAny(token, "~/") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// tokens splits a JSON Pointer into its unescaped parts.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(pointer[1:], "/")
	for i, part := range parts {
		parts[i] = unescape(part)
	}
	return parts
}

func unescape(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// fromPointer is the Path for a JSON Pointer that a decoder reported. A number
// is taken for an index: no struct field of the nine kinds has a numeric name.
func fromPointer(pointer string) Path {
	var p Path
	for _, token := range tokens(pointer) {
		if i, err := strconv.Atoi(token); err == nil {
			p = p.Index(i)
			continue
		}
		p = p.Child(token)
	}
	return p
}

package input

import (
	"bytes"
	"slices"

	"sigs.k8s.io/yaml"
)

// quoted reads a quoted scalar.
func (b *block) quoted(at int) (end int, ok bool) {
	quote := b.line[at]
	b.out = append(b.out, '"')
	for i := at + 1; i < len(b.line); i++ {
		switch c := b.line[i]; {
		case c == quote && quote == '\'' && i+1 < len(b.line) && b.line[i+1] == '\'':
			i++
			b.out = append(b.out, '\'')
		case c == quote:
			b.out = append(b.out, '"')
			return i + 1, true
		case c == '\\' && quote == '"':
			if i+1 == len(b.line) || bytes.IndexByte([]byte(`"\nt`), b.line[i+1]) < 0 {
				return 0, false
			}
			b.out = append(b.out, c, b.line[i+1])
			i++
		case c == '\\' || c == '"':
			b.out = append(b.out, '\\', c)
		default:
			b.out = append(b.out, c)
		}
	}
	return 0, false
}

// plain reads a scalar without quotes, and what YAML 1.1 takes it for.
func (b *block) plain(at int, flow bool) (end int, ok bool) {
	line := b.line
	if c := line[at]; !isKeyByte(c) && c != '+' && c != '$' && c != '(' && c != '~' {
		return 0, false
	}
	end = at + 1
	for ; end < len(line); end++ {
		c := line[end]
		if flow {
			if c == ',' || c == ']' || c == '}' {
				break
			}
			if !isKeyByte(c) && c != ' ' && c != '+' && c != '%' && c != '=' && c != '$' && c != '(' && c != ')' {
				return 0, false
			}
		}
		if c == '#' && line[end-1] == ' ' {
			break
		}
		if c == ':' && (end+1 == len(line) || line[end+1] == ' ') {
			return 0, false
		}
	}
	token := bytes.TrimRight(line[at:end], " ")
	if token[0] == '-' && (len(token) == 1 || token[1] == ' ') {
		return 0, false
	}
	return at + len(token), b.scalar(token)
}

// scalar writes a plain scalar.
func (b *block) scalar(token []byte) bool {
	if isString(token) {
		b.string(token)
		return true
	}
	switch string(token) {
	case "true", "false", "null":
		b.out = append(b.out, token...)
		return true
	}
	if isDecimal(token) {
		b.out = append(b.out, token...)
		return true
	}
	// Numbers in other forms, and what only looks like one.
	var value []any
	if err := yaml.Unmarshal(slices.Concat([]byte("["), token, []byte("]")), &value); err != nil || len(value) != 1 {
		return false
	}
	text, ok := value[0].(string)
	if ok && text == string(token) {
		b.string(token)
		return true
	}
	return false
}

// string writes a string.
func (b *block) string(text []byte) {
	b.out = append(b.out, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			b.out = append(b.out, '\\')
		}
		b.out = append(b.out, c)
	}
	b.out = append(b.out, '"')
}

// isString reports whether YAML 1.1 takes a plain scalar for a string beyond
// doubt: false for what looks like a number or a time, and for the words that are
// booleans or null.
func isString(token []byte) bool {
	c := token[0]
	if c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' {
		return !couldBeNumber(token)
	}
	if c == '~' {
		return false
	}
	if len(token) > 5 {
		return true
	}
	switch string(bytes.ToLower(token)) {
	case "y", "yes", "true", "on", "n", "no", "false", "off", "null":
		return false
	}
	return true
}

// couldBeNumber reports whether all characters of a token occur in numbers or in
// times.
func couldBeNumber(token []byte) bool {
	for _, c := range token {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		case bytes.IndexByte([]byte("+-._xXoOpPtTzZ: iInN"), c) >= 0:
		default:
			return false
		}
	}
	return true
}

// isDecimal reports whether a token is an integer in the form that JSON has too.
func isDecimal(token []byte) bool {
	digits := token
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(token) > 1 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// literal reads a block of text behind | or |-, and goes to the line after it.
func (b *block) literal(at, rest int) bool {
	header := string(bytes.TrimRight(b.line[rest:], " "))
	if header != "|" && header != "|-" || len(b.text) == 0 || b.text[len(b.text)-1] != '\n' {
		return false
	}
	if b.next == len(b.text) {
		return false
	}
	b.out = append(b.out, '"')
	column, blank := 0, 0
	for b.next < len(b.text) {
		b.readLine()
		spaces := indentOf(b.line)
		switch {
		case column == 0 && (spaces == len(b.line) || spaces <= at):
			return false // the first line says where the text begins
		case column == 0:
			column = spaces
		case spaces == len(b.line) && spaces <= column:
			blank++
			continue
		case spaces < column:
			return b.literalEnd(header)
		default:
			b.newlines(blank + 1)
		}
		blank = 0
		text := b.line[column:]
		for _, c := range text {
			if c == '"' || c == '\\' {
				b.out = append(b.out, '\\')
			}
			b.out = append(b.out, c)
		}
	}
	b.line, b.indent = nil, -1
	return b.literalClose(header)
}

// literalEnd ends a literal before the present line, which may be a comment.
func (b *block) literalEnd(header string) bool {
	b.indent = indentOf(b.line)
	if b.line[b.indent] == '#' {
		b.advance()
	}
	return b.literalClose(header)
}

func (b *block) literalClose(header string) bool {
	if header == "|" {
		b.newlines(1)
	}
	b.out = append(b.out, '"')
	return true
}

func (b *block) newlines(count int) {
	for range count {
		b.out = append(b.out, '\\', 'n')
	}
}

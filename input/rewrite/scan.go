package rewrite

import "bytes"

// flowEnd is where a collection in the style of JSON ends.
type flowEnd struct {
	// end is after the closing bracket, close before it.
	end, close int
	// content is the end of the last token in the collection, its start if it is
	// empty.
	content int
	// comma is set where that token is a comma.
	comma bool
}

// scanFlow reads from an opening bracket to the one that closes it. The text is
// one that a YAML library has read.
func scanFlow(text []byte, start int) flowEnd {
	depth := 0
	f := flowEnd{content: start + 1}
	fresh := true // a token may begin here
	for i := start; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
			continue
		case c == '#' && i > 0 && bytes.IndexByte([]byte(" \t\n\r"), text[i-1]) >= 0:
			i += lineLength(text[i:])
			continue
		case fresh && (c == '"' || c == '\''):
			i = quotedEnd(text, i)
			fresh, f.comma = false, false
		case c == '{' || c == '[':
			depth++
			i++
			fresh, f.comma = true, false
		case c == '}' || c == ']':
			depth--
			if depth == 0 {
				f.close, f.end = i, i+1
				return f
			}
			i++
			fresh, f.comma = false, false
		default:
			i++
			fresh, f.comma = c == ',' || c == ':', c == ','
		}
		f.content = i
	}
	f.close, f.end = len(text), len(text)
	return f
}

// quotedEnd is the offset after a quoted text.
func quotedEnd(text []byte, start int) int {
	quote := text[start]
	for i := start + 1; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// plainEnd is the offset after a text without quotes, on its line.
func plainEnd(text []byte, start int, flow bool) int {
	line := text[start : start+lineLength(text[start:])]
	end := len(line)
	for i, c := range line {
		after := byte(' ')
		if i+1 < len(line) {
			after = line[i+1]
		}
		blank := after == ' ' || after == '\t' || after == '\r'
		if c == '#' && i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') ||
			c == ':' && (blank || flow && bytes.IndexByte([]byte(",[]{}"), after) >= 0) ||
			flow && bytes.IndexByte([]byte(",[]{}"), c) >= 0 {
			end = i
			break
		}
	}
	return start + len(bytes.TrimRight(line[:end], " \t\r"))
}

// lineLength is that of a line as YAML has them, without its end.
func lineLength(text []byte) int {
	if i := bytes.IndexAny(text, "\n\r\u0085\u2028\u2029"); i >= 0 {
		return i
	}
	return len(text)
}

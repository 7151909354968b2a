package input

import (
	"strconv"
	"strings"
)

// Problem is something that cannot be judged, and where it is. Its text is one
// line:
//
//	deploy/web.yaml: document 2, line 7, column 3: spec.containers: got a string, expected a list
type Problem struct {
	// Source is the file, "-" for standard input.
	Source string
	// Document counts the documents of the file from 1; 0 where the problem is not
	// inside a document.
	Document int
	// Line and Column count from 1; 0 where they are not known.
	Line, Column int
	// Field is the path of the field, empty where it is not about one.
	Field string
	// Message says what is wrong and what to write instead.
	Message string
}

// Error is the problem as one line of text.
func (p *Problem) Error() string {
	var place []string
	for _, part := range []struct {
		name   string
		number int
	}{{"document ", p.Document}, {"line ", p.Line}, {"column ", p.Column}} {
		if part.number > 0 {
			place = append(place, part.name+strconv.Itoa(part.number))
		}
	}
	var text []string
	for _, part := range []string{p.Source, strings.Join(place, ", "), p.Field, p.Message} {
		if part != "" {
			text = append(text, part)
		}
	}
	return strings.Join(text, ": ")
}

// quote keeps text of a manifest on one line, of readable length and without
// control characters.
func quote(text string) string {
	const longest = 80
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return strconv.Quote(text)
}

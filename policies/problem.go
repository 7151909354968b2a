package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one fault in a policy, with the words that the admin sees. Its text is one line:
//
//	policy.yaml: document 2, line 7: spec.validate.podSecurity.level: "strict" is not a level; use privileged, baseline or restricted
//
// +kubebuilder:object:generate=false
type Problem struct {
	// Source is the file, preset or object that the policy came from. Empty when it is not known.
	Source string
	// Document counts the documents of Source from 1. It is 0 when the problem is not inside a document.
	Document int
	// Line counts the lines of Source from 1. It is 0 when it is not known.
	Line int
	// Field is the path of the field, such as spec.match.namespaces[0]. Empty when the document as a whole is at fault.
	Field string
	// Message says what is wrong and what to write instead.
	Message string
	// Empty marks a field with nothing after it, which who wrote it wants, and YAML takes for absent.
	Empty bool
}

// Error is the problem as one line of text.
func (p Problem) Error() string {
	var place []string
	if p.Document > 0 {
		place = append(place, "document "+strconv.Itoa(p.Document))
	}
	if p.Line > 0 {
		place = append(place, "line "+strconv.Itoa(p.Line))
	}
	var text []string
	for _, part := range []string{p.Source, strings.Join(place, ", "), p.Field, p.Message} {
		if part != "" {
			text = append(text, part)
		}
	}
	return strings.Join(text, ": ")
}

// Problems is every fault that was found, in the order of the files. As an error its text has one problem a line.
//
// +kubebuilder:object:generate=false
type Problems []Problem

// Error is one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there is no problem, else all of them. (A nil Problems in an error variable would not be a nil error.)
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// sortByLine puts the problems of one document in reading order; those without a line come first.
func (p Problems) sortByLine() {
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// withoutPlaces leaves out what is known of files.
func (p Problems) withoutPlaces() Problems {
	for i := range p {
		p[i].Source, p[i].Document, p[i].Line = "", 0, 0
	}
	return p
}

// quote keeps a message on one line and of readable length, whatever somebody wrote into the field.
func quote(value string) string {
	const longest = 80
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + "..."
	}
	return strconv.Quote(value)
}

// quoteAll quotes values and joins them with commas.
func quoteAll[T ~string](values []T) string {
	text := make([]string, len(values))
	for i, value := range values {
		text[i] = quote(string(value))
	}
	return strings.Join(text, ", ")
}

// either joins values as "a, b or c".
func either[T ~string](values []T) string {
	text := make([]string, len(values))
	for i, value := range values {
		text[i] = string(value)
	}
	if len(text) < 2 {
		return strings.Join(text, "")
	}
	last := len(text) - 1
	return fmt.Sprintf("%s or %s", strings.Join(text[:last], ", "), text[last])
}

// nearest returns the one of known that word is most likely a misspelling of, or "".
func nearest(word string, known []string) string {
	const farthest = 3
	best, distance := "", farthest
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(candidate)); d < distance && 2*d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or replace to turn a into b; long words are not worth counting.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

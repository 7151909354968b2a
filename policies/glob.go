package policies

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Glob matches the name of a namespace or of a container, in which * stands for any run of characters, none too. Both are DNS labels
// (lower-case letters, digits and -, at most 63), so a glob that no DNS label can match is refused: it would look like a rule and be none.
// The zero value matches nothing.
//
// +kubebuilder:object:generate=false
type Glob struct {
	text string
	any  bool // text holds a *
}

// longestName is the length of the longest DNS label (RFC 1123).
const longestName = 63

var globForm = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`)

// ParseGlob reads a name or a glob.
func ParseGlob(pattern string) (Glob, error) {
	if pattern == "" {
		return Glob{}, errors.New("is empty; write a name, or * for every name")
	}
	if len(pattern) > longestName {
		return Glob{}, fmt.Errorf("%s can match nothing: names have at most %d characters", quote(pattern), longestName)
	}
	if !globForm.MatchString(pattern) {
		return Glob{}, fmt.Errorf("%s can match nothing: names are lower-case letters, digits and - (not first or last); * stands for any run of them", quote(pattern))
	}
	return Glob{text: pattern, any: strings.Contains(pattern, "*")}, nil
}

// String is the glob as it was written.
func (g Glob) String() string { return g.text }

// Exact tells whether the glob is a plain name.
func (g Glob) Exact() bool { return !g.any }

// Match tells whether the glob matches all of name.
func (g Glob) Match(name string) bool {
	if !g.any {
		return g.text == name && name != ""
	}
	return matchStars(g.text, name)
}

// Covers tells whether g matches everything that other matches. A * of g takes in a * of other, and nothing else does.
func (g Glob) Covers(other Glob) bool { return g.Match(other.text) }

// matchStars matches text against a pattern in which * stands for any run of characters. It looks back to the last star only, so the time is
// bounded by the product of the lengths, whoever wrote the pattern.
func matchStars(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func anyMatches(globs []Glob, name string) bool {
	for _, g := range globs {
		if g.Match(name) {
			return true
		}
	}
	return false
}

package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/portcullis-dev/portcullis/engine"
)

// Line is a result in one line, as a compiler writes it: place, outcome, rule, what
// is wrong and what to write instead. Control characters are written as escapes.
func Line(r Result, outcome string) string {
	text := Place(r) + ": " + outcome + " " + plain(ruleID(r)) + ": " + sentence(r)
	if r.Fix != "" {
		text += ". Fix: " + plain(r.Fix)
	}
	return text
}

// Place is where in which source a result is: web.yaml:12:9. Where no line is known,
// as in what a chart renders, the object stands in for it.
func Place(r Result) string {
	if text := object(r); r.Line == 0 && text != "" {
		return place(r) + ": " + text
	}
	return place(r)
}

// sentence says what is wrong, in the words of an admission answer
// (engine.Finding.String): container, field, value and message.
func sentence(r Result) string {
	var b strings.Builder
	if r.Container != "" {
		fmt.Fprintf(&b, "container %s: ", strconv.Quote(r.Container))
	}
	if r.Field != "" {
		b.WriteString(plain(r.Field))
		if text := value(r); text != "" {
			b.WriteString(" is " + text)
		}
		b.WriteString(": ")
	}
	b.WriteString(plain(r.Message))
	return b.String()
}

// value is the offending value in one line of at most 200 bytes. A finding
// without one is about a field that is not set; other results have none to show.
func value(r Result) string {
	switch {
	case r.Value != nil:
		return plain(engine.Quote(r.Value))
	case r.finding() && r.Field != "" && !r.Whole:
		return "not set"
	}
	return ""
}

// finding reports whether a rule found something.
func (r Result) finding() bool {
	return r.Result == Fail || r.Result == Warn || r.Exemption != nil
}

// ruleID is rule and check: podSecurity/privileged.
func ruleID(r Result) string {
	rule := r.Rule
	if rule == "" {
		rule = InputRule
	}
	if r.Check != "" {
		rule += "/" + r.Check
	}
	return rule
}

// object names the object: Deployment shop/web. It is empty for a source that
// cannot be read.
func object(r Result) string {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + r.Name
	}
	return plain(strings.TrimSpace(r.Kind + " " + name))
}

// place is where in which source it is, as compilers write it: web.yaml:12:9.
func place(r Result) string {
	return plain(source(r)) + position(r)
}

func source(r Result) string {
	if r.Source == "" || r.Source == "-" {
		return "<stdin>"
	}
	return r.Source
}

func position(r Result) string {
	switch {
	case r.Line > 0 && r.Column > 0:
		return fmt.Sprintf(":%d:%d", r.Line, r.Column)
	case r.Line > 0:
		return fmt.Sprintf(":%d", r.Line)
	}
	return ""
}

// plain is text in one line without characters that a terminal, a log or a
// reader's eye would take for something else: control characters and those that
// change the direction of text are written as escapes.
func plain(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// plural is a count with its noun: 1 object, 2 objects.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// objectKey tells objects apart.
type objectKey struct {
	source                string
	document              int
	kind, namespace, name string
}

func keyOf(r Result) objectKey {
	return objectKey{r.Source, r.Document, r.Kind, r.Namespace, r.Name}
}

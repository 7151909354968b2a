package report

import (
	"bufio"
	"fmt"
	"io"
)

// ANSI colours of the text format (ECMA-48, SGR).
const (
	ansiReset  = "\x1b[0m"
	ansiBold   = "\x1b[1m"
	ansiDim    = "\x1b[2m"
	ansiRed    = "\x1b[1;31m"
	ansiGreen  = "\x1b[32m"
	ansiYellow = "\x1b[33m"
)

// writeText writes findings for a terminal, grouped by source and object, then
// what was not judged and why, then the numbers. What passed is only counted.
func writeText(w io.Writer, r *Report, o Options) error {
	t := textWriter{Writer: bufio.NewWriter(w), color: o.Color}
	results := r.sorted()
	t.results(results)
	t.exceptions(exempt(results), r.Exceptions)
	if reasons := skips(results); len(reasons) > 0 {
		t.line("%s", t.paint(ansiBold, "Not judged"))
		for _, s := range reasons {
			t.line("  %s", s)
		}
		t.line("")
	}
	t.line("%s", counts(r.Summary))
	for _, remark := range remarks(r.Summary) {
		t.line("%s", remark)
	}
	colour := ansiGreen
	switch {
	case r.Summary.Fail+r.Summary.Error > 0:
		colour = ansiRed
	case r.Summary.Warn+r.Summary.Skip-r.Summary.Exempt+r.Summary.Unmatched > 0 || r.Summary.Objects == 0:
		colour = ansiYellow
	}
	t.line("%s", t.paint(colour, verdict(r)))
	return t.Flush()
}

// exceptions tells what is exempt, and what the exceptions are good for.
func (t textWriter) exceptions(results []Result, uses []ExceptionUse) {
	if len(results)+len(uses) == 0 {
		return
	}
	t.line("%s", t.paint(ansiBold, "Exceptions"))
	for _, u := range uses {
		t.line("  %s", u)
	}
	for _, r := range results {
		t.line("  %s: %s: %s%s", place(r), object(r), plain(ruleID(r)), t.paint(ansiDim, origin(r)))
		t.line("          %s", sentence(r))
	}
	t.line("")
}

// textWriter keeps the first error of its bufio.Writer for Flush.
type textWriter struct {
	*bufio.Writer
	color bool
}

func (t textWriter) line(format string, args ...any) {
	fmt.Fprintf(t, format+"\n", args...)
}

func (t textWriter) paint(colour, text string) string {
	if !t.color || text == "" {
		return text
	}
	return colour + text + ansiReset
}

func (t textWriter) results(results []Result) {
	var current objectKey
	first := true
	for _, r := range results {
		if r.Result == Pass || r.Result == Skip {
			continue
		}
		key := keyOf(r)
		if first || key.source != current.source {
			t.line("%s", t.paint(ansiBold, plain(source(r))))
		}
		if name := object(r); name != "" && (first || key != current) {
			t.line("  %s%s", t.paint(ansiBold, name), t.paint(ansiDim, document(r)))
		}
		current, first = key, false
		t.result(r)
	}
}

// document tells the documents of a file apart; the first one goes without
// saying.
func document(r Result) string {
	if r.Document < 2 {
		return ""
	}
	return fmt.Sprintf(" (document %d)", r.Document)
}

func (t textWriter) result(r Result) {
	at := ""
	if r.Line > 0 {
		at = t.paint(ansiDim, position(r)[1:]) + " "
	}
	t.line("    %s %s%s%s", t.label(r.Result), at, plain(ruleID(r)), t.paint(ansiDim, origin(r)))
	t.line("          %s", sentence(r))
	if a := r.AdmittedWhileDown; a != nil {
		t.line("          admitted while the webhook was away, %s", a)
	}
	if r.Fix != "" {
		t.line("          %s %s", t.paint(ansiGreen, "fix:"), plain(r.Fix))
	}
	t.line("")
}

// origin is the policy that a result comes from, with its mode where that is
// not what the outcome already says.
func origin(r Result) string {
	switch {
	case r.Policy == "":
		return ""
	case r.Mode == "Enforce" && r.Result == Fail, r.Mode == "Warn" && r.Result == Warn, r.Mode == "":
		return fmt.Sprintf(" (%s)", plain(r.Policy))
	}
	return fmt.Sprintf(" (%s, %s)", plain(r.Policy), plain(r.Mode))
}

func (t textWriter) label(o Outcome) string {
	switch o {
	case Fail:
		return t.paint(ansiRed, "FAIL ")
	case Warn:
		return t.paint(ansiYellow, "WARN ")
	default:
		return t.paint(ansiRed, "ERROR")
	}
}

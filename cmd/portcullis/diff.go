package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// diffContext is how many lines a hunk shows around a change, as diff -u does.
const diffContext = 3

// unifiedDiff is what patch -p1 and git apply turn old into updated by, empty where
// they are equal. An old text of nil is a file that is not there.
func unifiedDiff(name string, old, updated []byte) string {
	if bytes.Equal(old, updated) {
		return ""
	}
	var b strings.Builder
	from := diffName("a", name)
	if old == nil {
		from = "/dev/null"
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", from, diffName("b", name))
	a, z := lines(old), lines(updated)
	// What is equal at both ends needs no search, which matters in long files.
	head := 0
	for head < len(a) && head < len(z) && a[head] == z[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(z)-head && a[len(a)-1-tail] == z[len(z)-1-tail] {
		tail++
	}
	head, tail = max(head-diffContext, 0), max(tail-diffContext, 0)
	inA, inZ := a[head:len(a)-tail], z[head:len(z)-tail]
	for _, group := range difflib.NewMatcher(inA, inZ).GetGroupedOpCodes(diffContext) {
		first, last := group[0], group[len(group)-1]
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", span(head+first.I1, last.I2-first.I1), span(head+first.J1, last.J2-first.J1))
		for _, code := range group {
			if code.Tag == 'e' {
				writeLines(&b, ' ', inA[code.I1:code.I2])
				continue
			}
			writeLines(&b, '-', inA[code.I1:code.I2])
			writeLines(&b, '+', inZ[code.J1:code.J2])
		}
	}
	return b.String()
}

// diffName is a path as patch reads it; one with unusual characters is quoted, as
// git does.
func diffName(side, name string) string {
	path := side + "/" + strings.TrimPrefix(filepath.ToSlash(filepath.Clean(name)), "/")
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` {
		return quoted
	}
	return path
}

// span is a range of lines, the first being 0, as diff -u writes it.
func span(first, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", first)
	case 1:
		return strconv.Itoa(first + 1)
	}
	return fmt.Sprintf("%d,%d", first+1, count)
}

// lines are those of a text with their ends.
func lines(text []byte) []string {
	var all []string
	for line := range strings.Lines(string(text)) {
		all = append(all, line)
	}
	return all
}

func writeLines(b *strings.Builder, sign byte, lines []string) {
	for _, line := range lines {
		b.WriteByte(sign)
		b.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
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
	for _, group := range grouped(spots(a, z)) {
		first, last := group[0], group[len(group)-1]
		before := min(diffContext, first.i1)
		after := min(diffContext, len(a)-last.i2)
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", span(first.i1-before, last.i2+after-first.i1+before), span(first.j1-before, last.j2+after-first.j1+before))
		writeLines(&b, ' ', a[first.i1-before:first.i1])
		for i, s := range group {
			if i > 0 {
				writeLines(&b, ' ', a[group[i-1].i2:s.i1])
			}
			writeLines(&b, '-', a[s.i1:s.i2])
			writeLines(&b, '+', z[s.j1:s.j2])
		}
		writeLines(&b, ' ', a[last.i2:last.i2+after])
	}
	return b.String()
}

// spot is lines that differ: those from i1 to i2 of the old text are those from j1 to j2
// of the new one.
type spot struct{ i1, i2, j1, j2 int }

const (
	// resync is how many equal lines end a difference, if the texts do not end there.
	resync = 3
	// reach is how far from its beginning the end of a difference is looked for, in
	// lines of both texts. What fix changes is rarely more than ten lines long.
	reach = 400
)

// spots are where two texts differ. A repair changes few lines at each of many places,
// so that the end of a difference is near its beginning: the time is linear in the
// lines, where a search for the shortest difference is quadratic.
func spots(a, z []string) []spot {
	var all []spot
	for i, j := 0, 0; i < len(a) || j < len(z); {
		if i < len(a) && j < len(z) && a[i] == z[j] {
			i, j = i+1, j+1
			continue
		}
		lost, added := apart(a[i:], z[j:])
		all = append(all, refined(a, z, spot{i, i + lost, j, j + added})...)
		i, j = i+lost, j+added
	}
	return all
}

// apart is how many lines of each text are to be passed over until they go on alike;
// all of them where that is out of reach.
func apart(a, z []string) (inA, inZ int) {
	for distance := 1; distance <= min(reach, len(a)+len(z)); distance++ {
		for i := max(0, distance-len(z)); i <= min(distance, len(a)); i++ {
			if alike(a[i:], z[distance-i:]) {
				return i, distance - i
			}
		}
	}
	return len(a), len(z)
}

// alike reports whether texts begin with the same lines.
func alike(a, z []string) bool {
	if len(a) < resync || len(z) < resync {
		return slices.Equal(a, z)
	}
	return slices.Equal(a[:resync], z[:resync])
}

// refined takes the equal lines out of a difference that is short enough to search.
func refined(a, z []string, s spot) []spot {
	if s.i2-s.i1+s.j2-s.j1 > reach {
		return []spot{s}
	}
	var all []spot
	for _, code := range difflib.NewMatcher(a[s.i1:s.i2], z[s.j1:s.j2]).GetOpCodes() {
		if code.Tag != 'e' {
			all = append(all, spot{s.i1 + code.I1, s.i1 + code.I2, s.j1 + code.J1, s.j1 + code.J2})
		}
	}
	return all
}

// grouped puts differences together whose context overlaps.
func grouped(all []spot) [][]spot {
	var groups [][]spot
	for i, s := range all {
		if i == 0 || s.i1-all[i-1].i2 > 2*diffContext {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], s)
	}
	return groups
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

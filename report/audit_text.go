package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// maxTextBlockers bounds the checks that one line of the matrix names.
const maxTextBlockers = 4

// writeAuditText writes findings for a terminal as `check` does, then the
// namespaces, the readiness matrix and the numbers.
func writeAuditText(w io.Writer, a *Audit, o Options) error {
	t := textWriter{Writer: bufio.NewWriter(w), color: o.Color}
	results := a.sorted()
	t.results(results)
	if reasons := skips(results); len(reasons) > 0 {
		t.line("%s", t.paint(ansiBold, "Not judged"))
		for _, s := range reasons {
			t.line("  %s", s)
		}
		t.line("")
	}
	t.exceptions(exempt(results), a.Exceptions)
	t.namespaces(a.Namespaces)
	t.changes(a.Changes)
	t.denied(a.Denied)
	t.images(a.Images)
	t.readiness(a.Readiness)
	t.line("%s with %s in %s: %s, %s, %d passed, %d skipped", plural(a.Summary.Objects, "workload"), plural(a.Pods, "pod"),
		plural(len(a.Namespaces), "namespace"), plural(a.Summary.Fail, "failure"), plural(a.Summary.Warn, "warning"), a.Summary.Pass, a.Summary.Skip)
	for _, remark := range a.remarks() {
		t.line("%s", remark)
	}
	colours := map[string]string{"fail": ansiRed, "warn": ansiYellow, "good": ansiGreen}
	t.line("%s", t.paint(colours[a.tone()], a.verdict()))
	return t.Flush()
}

// table writes rows of cells under a title, in columns.
func (t textWriter) table(title string, rows [][]string) {
	t.line("%s", t.paint(ansiBold, title))
	columns := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(columns, "  "+strings.Join(row, "\t"))
	}
	_ = columns.Flush() // into t, which keeps its error
	t.line("")
}

func (t textWriter) namespaces(all []NamespaceCounts) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"NAMESPACE", "WORKLOADS", "PODS", "DENIED", "WARNED", "MUTATED", "NO POLICY"}}
	for _, n := range all {
		rows = append(rows, []string{
			plain(n.Namespace), fmt.Sprint(n.Workloads), fmt.Sprint(n.Pods), fmt.Sprint(n.Denied), fmt.Sprint(n.Warned), fmt.Sprint(n.Mutated), fmt.Sprint(n.Unmatched),
		})
	}
	t.table("Namespaces", rows)
}

// changes names the fields that mutators would write, with how many workloads have
// each.
func (t textWriter) changes(all []Change) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"MUTATOR", "POLICY", "FIELDS", "WORKLOADS", ""}}
	for _, s := range changeSums(all) {
		rows = append(rows, []string{plain(s.Rule), plain(s.Policy), fmt.Sprint(s.Fields), fmt.Sprint(s.Workloads), s.note()})
	}
	t.table("Changes", rows)
}

// maxTextDenied bounds the refused objects that the text names.
const maxTextDenied = 20

// denied tells which requests were refused of late.
func (t textWriter) denied(all []Denied) {
	if len(all) == 0 {
		return
	}
	t.line("%s", t.paint(ansiBold, "Refused requests"))
	objects := RefusedObjects(all)
	for i, r := range objects {
		if i == maxTextDenied {
			t.line("  and %d more", len(objects)-i)
			break
		}
		t.line("  %s: %s", plain(r[0].Namespace), r)
	}
	t.line("")
}

// images tells what has become of pinned images.
func (t textWriter) images(all []PinnedImage) {
	if len(all) == 0 {
		return
	}
	t.line("%s", t.paint(ansiBold, "Pinned images"))
	for _, p := range all {
		t.line("  %s: %s", plain(p.Namespace), p)
	}
	t.line("")
}

func (t textWriter) readiness(cells []Readiness) {
	if len(cells) == 0 {
		return
	}
	rows := [][]string{{"NAMESPACE", "LEVEL", "READY", "REPAIRABLE", "BLOCKED BY"}}
	for _, c := range cells {
		var blockers []string
		for i, b := range c.Blockers {
			if i == maxTextBlockers {
				blockers = append(blockers, fmt.Sprintf("and %d more", len(c.Blockers)-i))
				break
			}
			blockers = append(blockers, fmt.Sprintf("%s %d", plain(b.Check), b.Workloads))
		}
		rows = append(rows, []string{
			plain(c.Namespace), plain(column{c.Level, c.Version}.String()), fmt.Sprintf("%d of %d", c.Workloads-c.Blocked, c.Workloads),
			fmt.Sprint(c.Repairable), strings.Join(blockers, ", "),
		})
	}
	t.table("Readiness for Pod Security levels", rows)
}

package report

import (
	_ "embed"
	"fmt"
	"io"
)

//go:embed html/audit.html
var auditSections string

// auditContent is what html/audit.html shows. It is empty in the page of a Report.
type auditContent struct {
	Namespaces []pageNamespace
	Changes    []pageChange
	// Denied are refused objects, MoreDenied says how many there are beside those.
	Denied     []pageDenied
	MoreDenied string
	Images     []pageImage
	Matrix     *pageMatrix // nil: none
	Trend      *pageTrend  // nil: none
}

type (
	pageNamespace struct {
		Option, Name                                        string
		Workloads, Pods, Denied, Warned, Mutated, Unmatched int
	}
	pageChange struct {
		Rule, Policy, Note string
		Fields, Workloads  int
	}
	pageDenied struct {
		Namespace, Object, User, Last string
		Checks                        []string
	}
	pageImage struct {
		Namespace, Image, State, Users string
		Tone                           string
	}
	pageMatrix struct {
		Columns []string
		Rows    []pageMatrixRow
	}
	pageMatrixRow struct {
		Namespace string
		Cells     []pageCell
	}
	pageCell struct {
		Heat, Text string
		Blockers   []string
	}
)

// writeAuditHTML writes one page that needs nothing else: no server, no network.
func writeAuditHTML(w io.Writer, a *Audit, o Options) error {
	p := pageOf(&a.Report, o)
	p.Title, p.Verdict, p.Tone, p.Remarks = "Cluster audit", a.verdict(), a.tone(), a.remarks()
	p.Numbers = a.numbers()
	for i := range p.Groups {
		g := &p.Groups[i]
		for j := range g.Findings { // there is no file to find it in
			g.Findings[j].Place = g.Kind + " " + g.Name
		}
	}
	for _, n := range a.Namespaces {
		p.Namespaces = append(p.Namespaces, pageNamespace{
			namespaceOption(Result{Namespace: n.Namespace}), plain(n.Namespace), n.Workloads, n.Pods, n.Denied, n.Warned, n.Mutated, n.Unmatched,
		})
	}
	for _, s := range changeSums(a.Changes) {
		p.Changes = append(p.Changes, pageChange{plain(s.Rule), plain(s.Policy), s.note(), s.Fields, s.Workloads})
	}
	for i := range p.Exempt {
		p.Exempt[i].Place = ""
	}
	p.Denied, p.MoreDenied = pageDenials(a.Denied)
	for _, image := range a.Images {
		p.Images = append(p.Images, pageImageOf(image))
	}
	p.Matrix, p.Trend = pageMatrixOf(a.Readiness), pageTrendOf(a.Trend)
	return writePage(w, p)
}

// maxPageDenied bounds the refused objects of a page.
const maxPageDenied = 100

// pageDenials are the refused objects of a page, those seen last first.
func pageDenials(all []Denied) (rows []pageDenied, more string) {
	objects := RefusedObjects(all)
	for i, r := range objects {
		if i == maxPageDenied {
			return rows, fmt.Sprintf("and %d more, which /audit.json has", len(objects)-i)
		}
		rows = append(rows, pageDenied{plain(r[0].Namespace), plain(r[0].Kind + " " + r[0].Name), plain(r[0].User), r.last(), r.checks()})
	}
	return rows, ""
}

func pageImageOf(p PinnedImage) pageImage {
	image := pageImage{Namespace: plain(p.Namespace), Image: plain(p.Image), State: p.news(), Users: p.users()}
	if p.State == ImageVanished {
		image.Tone = "warn"
	}
	return image
}

// AuditNotice is what there is to say instead of an audit.
type AuditNotice struct {
	// Text is one sentence without a full stop, Remarks are more of them.
	Text    string
	Remarks []string
	// Trend is shown all the same.
	Trend []Figures
}

// WriteAuditNotice writes the page of an audit that is not there.
func WriteAuditNotice(w io.Writer, n AuditNotice, o Options) error {
	p := pageOf(&Report{}, o)
	p.Title, p.Verdict, p.Tone, p.Notice, p.Numbers, p.Remarks = "Cluster audit", plain(n.Text), "warn", true, nil, nil
	for _, remark := range n.Remarks {
		p.Remarks = append(p.Remarks, plain(remark))
	}
	p.Trend = pageTrendOf(n.Trend)
	return writePage(w, p)
}

// PagePolicy is the Content-Security-Policy of the HTML pages. They have it in them;
// a server that sends it too can add what counts in a header alone.
func PagePolicy() string { return htmlPolicy() }

func (a *Audit) numbers() []pageNumber {
	var denied, warned, mutated int
	for _, n := range a.Namespaces {
		denied += n.Denied
		warned += n.Warned
		mutated += n.Mutated
	}
	numbers := []pageNumber{
		{"denied", denied, "fail"},
		{"warned", warned, "warn"},
		{"changed", mutated, ""},
		{"rules passed", a.Summary.Pass, "good"},
		{"workloads", a.Summary.Objects, ""},
		{"pods", a.Pods, ""},
		{"namespaces", len(a.Namespaces), ""},
	}
	if a.Summary.Exempt > 0 {
		numbers = append(numbers, pageNumber{"exempt", a.Summary.Exempt, ""})
	}
	for i := range numbers {
		if numbers[i].Count == 0 {
			numbers[i].Tone = ""
		}
	}
	return numbers
}

func pageMatrixOf(cells []Readiness) *pageMatrix {
	if len(cells) == 0 {
		return nil
	}
	m := &pageMatrix{}
	all := columns(cells)
	place := map[column]int{}
	for i, c := range all {
		place[c] = i
		m.Columns = append(m.Columns, plain(c.String()))
	}
	rows := map[string]int{}
	for _, cell := range cells {
		i, ok := rows[cell.Namespace]
		if !ok {
			i = len(m.Rows)
			rows[cell.Namespace] = i
			m.Rows = append(m.Rows, pageMatrixRow{plain(cell.Namespace), make([]pageCell, len(all))})
		}
		m.Rows[i].Cells[place[column{cell.Level, cell.Version}]] = pageCellOf(cell)
	}
	return m
}

// pageCellOf has words for what its colour says: not everybody sees that.
func pageCellOf(c Readiness) pageCell {
	if c.Ready() {
		return pageCell{Heat: "heat-0", Text: fmt.Sprintf("ready, all %d", c.Workloads), Blockers: []string{"nothing is in the way"}}
	}
	cell := pageCell{Heat: heat(c), Text: fmt.Sprintf("%d of %d ready", c.Workloads-c.Blocked, c.Workloads)}
	if c.Repairable > 0 {
		cell.Text += fmt.Sprintf(", %d repairable", c.Repairable)
	}
	for _, b := range c.Blockers {
		text := fmt.Sprintf("%s: %s", plain(b.Check), plural(b.Workloads, "workload"))
		if b.Repairable > 0 {
			text += fmt.Sprintf(", %d repairable", b.Repairable)
		}
		cell.Blockers = append(cell.Blockers, text)
	}
	return cell
}

// heat is the class of a cell by the share of workloads that would stay blocked
// after repairs: heat-1 for none, up to heat-4.
func heat(c Readiness) string {
	left := c.Blocked - c.Repairable
	switch {
	case left == 0:
		return "heat-1"
	case 4*left <= c.Workloads:
		return "heat-2"
	case 2*left <= c.Workloads:
		return "heat-3"
	}
	return "heat-4"
}

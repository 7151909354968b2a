package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed html/page.html
var htmlPage string

//go:embed html/page.css
var htmlStyle string

//go:embed html/page.js
var htmlScript string

// htmlTemplate is without the line breaks and the indentation of its file: in a
// page with thousands of findings, reading them is most of a browser's work.
var htmlTemplate = template.Must(template.Must(template.New("page").Parse(dense(htmlPage))).New("audit").Parse(dense(auditSections)))

func dense(text string) string { return regexp.MustCompile(`\n *`).ReplaceAllString(text, "") }

// htmlPolicy lets the page's own style and script run, by their hashes, and
// nothing else: no request leaves the page, and markup that got into it past the
// escaping would do nothing.
func htmlPolicy() string {
	return strings.Join([]string{
		"default-src 'none'",
		"style-src " + htmlHash(htmlStyle),
		"script-src " + htmlHash(htmlScript),
		"img-src data:", // the empty icon, which keeps browsers from asking for /favicon.ico
		"base-uri 'none'",
		"form-action 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

func htmlHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// htmlContent is what html/page.html shows. A section without content is left out, so
// that other reports than that of `check` can fill other sections. Texts in it
// are plain.
type htmlContent struct {
	Policy string
	Style  template.CSS
	Script template.JS

	Title, Version string
	Time, TimeText string // of HTML's <time>, and to read

	Verdict string
	Tone    string // of the verdict: fail, warn or good
	Numbers []pageNumber
	Remarks []string

	Rules   []pageRule
	Skipped []pageSkipped
	// Exceptions tell what exceptions are good for, Exempt what they exempt.
	Exceptions []pageException
	Exempt     []pageExempt

	// Notice is set for a page that is about no objects, and so without findings.
	Notice bool

	// Groups are the findings of each object, Omitted says how many there are beside
	// those.
	Groups  []pageGroup
	Filter  pageFilter
	Omitted string

	// What only the audit of a cluster has.
	auditContent
}

type (
	pageNumber struct {
		Label string
		Count int
		Tone  string // colour of a count that is not 0
	}
	pageRule struct {
		ID, Short, Long, Link      string
		Fail, Warn, Error, Objects int
	}
	pageSkipped struct {
		Rule, Policy, Message, Count string
		Objects                      []string
	}
	pageExempt struct{ Object, Rule, Policy, Message, Place string }
	pageOption struct{ Value, Label string }
	// pageFilter is what findings can be filtered by.
	pageFilter struct{ Rules, Namespaces, Outcomes []pageOption }
	pageGroup  struct {
		Kind, Name, Source, Document string
		Namespace                    string // value of its option
		Findings                     []pageFinding
	}
	pageFinding struct {
		Result                        Outcome
		Rule, Container, Policy, Mode string
		Place                         string
		Field, Value, Message, Fix    string
		Away                          string // when it came in, if nobody judged then
	}
)

// writeHTML writes one page that needs nothing else: no server, no network.
func writeHTML(w io.Writer, r *Report, o Options) error { return writePage(w, pageOf(r, o)) }

// pageOf is what the page of a report shows.
func pageOf(r *Report, o Options) htmlContent {
	results := r.sorted()
	listed, omitted := pageFindings(results)
	p := htmlContent{
		Policy: htmlPolicy(), Style: template.CSS(htmlStyle), Script: template.JS(htmlScript),
		Title: "Policy report", Version: plain(o.Version),
		Verdict: verdict(r), Tone: pageTone(r.Summary), Numbers: pageNumbers(r.Summary), Remarks: remarks(r.Summary),
		Rules: pageRules(results), Skipped: pageSkips(results),
		Groups: pageGroups(listed), Filter: pageFilterOf(listed), Omitted: omitted,
	}
	ending := slices.SortedStableFunc(slices.Values(r.Exceptions), func(a, b ExceptionUse) int { return cmp.Compare(a.ExpiresAt, b.ExpiresAt) })
	for _, use := range ending {
		p.Exceptions = append(p.Exceptions, pageExceptionOf(use, o.Time))
	}
	for _, result := range exempt(results) {
		p.Exempt = append(p.Exempt, pageExempt{object(result), plain(ruleID(result)), plain(result.Policy), sentence(result), place(result)})
	}
	if !o.Time.IsZero() {
		p.Time, p.TimeText = o.Time.UTC().Format(time.RFC3339), o.Time.UTC().Format("2 January 2006, 15:04 UTC")
	}
	return p
}

// maxPageFindings bounds the findings on a page: more open slowly, and nobody reads
// them.
const maxPageFindings = 5000

// pageFindings are the findings that a page lists, in the order of the results, and
// what to say about the others. The worst are listed.
func pageFindings(results []Result) (listed []Result, omitted string) {
	for _, r := range results {
		if r.Result != Pass && r.Result != Skip {
			listed = append(listed, r)
		}
	}
	if len(listed) <= maxPageFindings {
		return listed, ""
	}
	order := make([]int, len(listed))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return Worst(&listed[a], &listed[b]) })
	worst := order[:maxPageFindings]
	slices.Sort(worst)
	all := listed
	listed = make([]Result, 0, len(worst))
	for _, i := range worst {
		listed = append(listed, all[i])
	}
	return listed, fmt.Sprintf("These are the %d worst of %d findings. The counts above are of all, and so is --output json.", len(listed), len(all))
}

func writePage(w io.Writer, p htmlContent) error {
	b := bufio.NewWriter(w)
	if err := htmlTemplate.ExecuteTemplate(b, "page", p); err != nil {
		return err
	}
	return b.Flush()
}

func pageTone(s Summary) string {
	switch {
	case s.Fail+s.Error > 0:
		return "fail"
	case s.Warn+s.Skip-s.Exempt+s.Unmatched > 0 || s.Objects == 0:
		return "warn"
	}
	return "good"
}

func pageNumbers(s Summary) []pageNumber {
	numbers := []pageNumber{
		{"failures", s.Fail, "fail"},
		{"warnings", s.Warn, "warn"},
		{"errors", s.Error, "error"},
		{"skipped", s.Skip - s.Exempt, ""},
		{"passed", s.Pass, "good"},
		{"objects", s.Objects, ""},
		{"files", s.Files, ""},
	}
	if s.Exempt > 0 {
		numbers = append(numbers, pageNumber{"exempt", s.Exempt, ""})
	}
	for i := range numbers {
		if numbers[i].Count == 0 {
			numbers[i].Tone = ""
		}
	}
	return numbers
}

// pageRules are the rules with findings, those with the most failures first.
func pageRules(results []Result) []pageRule {
	index := map[string]int{}
	objects := map[string]map[objectKey]bool{}
	var rules []pageRule
	for _, r := range results {
		if r.Result == Pass || r.Result == Skip {
			continue
		}
		id := plain(ruleID(r))
		i, known := index[id]
		if !known {
			i = len(rules)
			index[id] = i
			objects[id] = map[objectKey]bool{}
			h := helpFor(id)
			rules = append(rules, pageRule{ID: id, Short: h.short, Long: h.long, Link: h.link})
		}
		objects[id][keyOf(r)] = true
		rules[i].Objects = len(objects[id])
		switch r.Result {
		case Fail:
			rules[i].Fail++
		case Warn:
			rules[i].Warn++
		default:
			rules[i].Error++
		}
	}
	slices.SortStableFunc(rules, func(a, b pageRule) int {
		return cmp.Or(cmp.Compare(b.Error, a.Error), cmp.Compare(b.Fail, a.Fail), cmp.Compare(b.Warn, a.Warn), cmp.Compare(a.ID, b.ID))
	})
	return rules
}

func pageSkips(results []Result) []pageSkipped {
	var all []pageSkipped
	for _, s := range skips(results) {
		all = append(all, pageSkipped{
			Rule: plain(s.rule), Policy: plain(s.policy), Message: plain(s.message),
			Count: plural(len(s.objects), "object"), Objects: s.objects,
		})
	}
	return all
}

func pageGroups(results []Result) []pageGroup {
	var groups []pageGroup
	var current objectKey
	for _, r := range results {
		if r.Result == Pass || r.Result == Skip {
			continue
		}
		if key := keyOf(r); len(groups) == 0 || key != current {
			current = key
			groups = append(groups, pageGroupOf(r))
		}
		group := &groups[len(groups)-1]
		finding := pageFinding{
			Result: r.Result, Rule: plain(ruleID(r)), Container: plain(r.Container), Policy: plain(r.Policy), Mode: plain(r.Mode),
			Place: place(r), Field: plain(r.Field), Value: value(r), Message: plain(r.Message), Fix: plain(r.Fix),
		}
		if a := r.AdmittedWhileDown; a != nil {
			finding.Away = a.String()
		}
		group.Findings = append(group.Findings, finding)
	}
	return groups
}

func pageGroupOf(r Result) pageGroup {
	group := pageGroup{
		Kind: plain(r.Kind), Name: object(Result{Namespace: r.Namespace, Name: r.Name}),
		Source: plain(source(r)), Document: document(r), Namespace: namespaceOption(r),
	}
	if group.Name == "" {
		group.Name = group.Source
	}
	return group
}

// namespaceOption is never empty, which is what the filter has for all.
func namespaceOption(r Result) string { return "namespace " + plain(r.Namespace) }

// pageFilterOf offers the rules, the namespaces and the outcomes that there are.
func pageFilterOf(results []Result) pageFilter {
	rules, namespaces, counts := map[string]string{}, map[string]string{}, map[Outcome]int{}
	for _, r := range results {
		if r.Result == Pass || r.Result == Skip {
			continue
		}
		id := plain(ruleID(r))
		rules[id] = id
		if rule, _, nested := strings.Cut(id, "/"); nested {
			rules[rule] = rule + " (all)"
		}
		namespaces[namespaceOption(r)] = cmp.Or(plain(r.Namespace), "(none)")
		counts[r.Result]++
	}
	filter := pageFilter{Rules: sortedOptions(rules), Namespaces: sortedOptions(namespaces)}
	for _, outcome := range []Outcome{Fail, Warn, Error} {
		if counts[outcome] > 0 {
			filter.Outcomes = append(filter.Outcomes, pageOption{string(outcome), strconv.Itoa(counts[outcome])})
		}
	}
	return filter
}

func sortedOptions(labels map[string]string) []pageOption {
	var options []pageOption
	for value, label := range labels {
		options = append(options, pageOption{value, label})
	}
	slices.SortFunc(options, func(a, b pageOption) int { return cmp.Compare(a.Value, b.Value) })
	return options
}

package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJUnit(t *testing.T) {
	got := write(t, "junit", sample(), sampleOptions)
	requireJUnit(t, got)
	golden(t, "junit.xml", got)
	requireJUnit(t, write(t, "junit", &Report{}, sampleOptions))
}

func TestJUnitOutcomes(t *testing.T) {
	base := Result{Source: "a.yaml", Kind: "Pod", Name: "x", Policy: "p", Rule: "rootUser"}
	for _, test := range []struct {
		outcomes []Outcome
		want     string // what the case ends up as
	}{
		{[]Outcome{Pass}, ""},
		{[]Outcome{Warn, Warn}, ""},
		{[]Outcome{Skip, Warn}, "skipped"},
		{[]Outcome{Error, Skip}, "error"},
		{[]Outcome{"unheard-of"}, "error"},
		{[]Outcome{Warn, Error, Fail, Fail}, "failure"},
	} {
		r := &Report{}
		for _, o := range test.outcomes {
			base.Result = o
			r.Add(base)
		}
		var suites junitSuites
		if err := xml.Unmarshal(write(t, "junit", r, sampleOptions), &suites); err != nil {
			t.Fatal(err)
		}
		c := suites.Suites[0].Cases[0]
		got := ""
		for name, detail := range map[string]*junitDetail{"failure": c.Failure, "error": c.Error, "skipped": c.Skipped} {
			if detail != nil {
				got += name
			}
		}
		if got != test.want || len(suites.Suites[0].Cases) != 1 {
			t.Errorf("%v: got %d cases with %q, want one with %q", test.outcomes, len(suites.Suites[0].Cases), got, test.want)
		}
	}
}

// TestJUnitWarnings requires that warnings, for which the format has no element,
// are in the suite's output.
func TestJUnitWarnings(t *testing.T) {
	var suites junitSuites
	if err := xml.Unmarshal(write(t, "junit", sample(), sampleOptions), &suites); err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, suite := range suites.Suites {
		got = append(got, strings.HasPrefix(suite.Out, "warning: "))
	}
	if diff := cmp.Diff([]bool{false, true, true}, got); diff != "" {
		t.Errorf("suites with warnings in their output (-want +got):\n%s", diff)
	}
}

// junitElement is what the two schemas say of an element, taken together: what
// the stricter one requires, and what both allow. They are
// windyroad/JUnit-Schema (JUnit.xsd) and jenkinsci/xunit-plugin (junit-10.xsd).
type junitElement struct {
	required, optional []string          // attributes
	pattern            map[string]string // of attributes
	children           []string          // in this order
	many               map[string]bool   // children that may repeat
	mandatory          map[string]bool   // children that must be there
	oneOf              bool              // at most one child
}

var (
	junitDetailElement = junitElement{required: []string{"type"}, optional: []string{"message"}}
	junitElements      = map[string]junitElement{
		"testsuites": {children: []string{"testsuite"}, many: map[string]bool{"testsuite": true}},
		"testsuite": {
			required: []string{"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "time"},
			optional: []string{"skipped"},
			pattern: map[string]string{
				"name": `.+`, "hostname": `.+`, "id": `\d+`, "timestamp": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`,
				"tests": `\d+`, "failures": `\d+`, "errors": `\d+`, "skipped": `\d+`, "time": `\d{1,3}(\.\d+)?`,
			},
			children:  []string{"properties", "testcase", "system-out", "system-err"},
			many:      map[string]bool{"testcase": true},
			mandatory: map[string]bool{"properties": true, "system-out": true, "system-err": true},
		},
		"properties": {children: []string{"property"}, many: map[string]bool{"property": true}},
		"property":   {required: []string{"name", "value"}, pattern: map[string]string{"name": `.+`}},
		"testcase": {
			required: []string{"name", "classname", "time"}, pattern: map[string]string{"time": `\d{1,3}(\.\d+)?`},
			children: []string{"failure", "error", "skipped"}, oneOf: true,
		},
		"failure": junitDetailElement, "error": junitDetailElement, "skipped": junitDetailElement,
		"system-out": {}, "system-err": {},
	}
)

// junitNode is any element.
type junitNode struct {
	XMLName  xml.Name
	Attrs    []xml.Attr  `xml:",any,attr"`
	Children []junitNode `xml:",any"`
}

// requireJUnit holds a document against junitElements, and the counts of each
// suite against its cases.
func requireJUnit(t testing.TB, data []byte) {
	t.Helper()
	var root junitNode
	if err := xml.Unmarshal(data, &root); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if root.XMLName.Local != "testsuites" {
		t.Errorf("got <%s>, want <testsuites>", root.XMLName.Local)
	}
	for _, problem := range root.problems() {
		t.Errorf("%s\n%s", problem, data)
	}
}

func (n junitNode) problems() []string {
	var problems []string
	say := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("<%s>: ", n.XMLName.Local)+fmt.Sprintf(format, args...))
	}
	rules, known := junitElements[n.XMLName.Local]
	if !known {
		say("is no element of both schemas")
	}
	attributes := map[string]string{}
	for _, a := range n.Attrs {
		attributes[a.Name.Local] = a.Value
		if !strings.Contains(" "+strings.Join(append(rules.required, rules.optional...), " ")+" ", " "+a.Name.Local+" ") {
			say("has attribute %q, which not both schemas allow", a.Name.Local)
		}
		if p := rules.pattern[a.Name.Local]; p != "" && !regexp.MustCompile(`^(?:`+p+`)$`).MatchString(a.Value) {
			say("has %s=%q, want %s", a.Name.Local, a.Value, p)
		}
	}
	for _, name := range rules.required {
		if _, has := attributes[name]; !has {
			say("lacks attribute %q", name)
		}
	}
	counts := map[string]int{}
	at := 0
	for _, c := range n.Children {
		name := c.XMLName.Local
		counts[name]++
		for at < len(rules.children) && rules.children[at] != name {
			at++
		}
		if at == len(rules.children) {
			say("has <%s> where the schemas have none", name)
			break
		}
		if counts[name] > 1 && !rules.many[name] {
			say("has more than one <%s>", name)
		}
		problems = append(problems, c.problems()...)
	}
	for name := range rules.mandatory {
		if counts[name] == 0 {
			say("lacks <%s>", name)
		}
	}
	if rules.oneOf && len(n.Children) > 1 {
		say("has %d children, want at most one", len(n.Children))
	}
	if n.XMLName.Local == "testsuite" {
		problems = append(problems, n.miscounts(attributes)...)
	}
	return problems
}

func (n junitNode) miscounts(attributes map[string]string) []string {
	counts := map[string]int{}
	for _, c := range n.Children {
		if c.XMLName.Local != "testcase" {
			continue
		}
		counts["tests"]++
		for _, detail := range c.Children {
			counts[map[string]string{"failure": "failures", "error": "errors", "skipped": "skipped"}[detail.XMLName.Local]]++
		}
	}
	var problems []string
	for _, name := range []string{"tests", "failures", "errors", "skipped"} {
		if attributes[name] != strconv.Itoa(counts[name]) {
			problems = append(problems, fmt.Sprintf("suite %q has %s=%q, want %d", attributes["name"], name, attributes[name], counts[name]))
		}
	}
	return problems
}

func TestJUnitWithoutTime(t *testing.T) {
	if got := write(t, "junit", sample(), Options{}); bytes.Contains(got, []byte("timestamp")) {
		t.Error("got a timestamp, want none: nobody said when the report was made")
	}
	in := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600))
	if got := write(t, "junit", sample(), Options{Time: in}); !bytes.Contains(got, []byte(`timestamp="2026-01-02T02:04:05"`)) {
		t.Errorf("got no timestamp of 02:04:05 in UTC:\n%s", got)
	}
}

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of a JUnit report, as far as both the schema of Jenkins' xUnit
// plugin (junit-10.xsd) and the stricter one of Ant's task know them
// (windyroad/JUnit-Schema), so that any reader takes it. The order of the fields
// is that of the second.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		ID         int             `xml:"id,attr"`
		Name       string          `xml:"name,attr"`
		Package    string          `xml:"package,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
		Err        string          `xml:"system-err"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string       `xml:"name,attr"`
		Classname string       `xml:"classname,attr"`
		Time      string       `xml:"time,attr"`
		Failure   *junitDetail `xml:"failure"`
		Error     *junitDetail `xml:"error"`
		Skipped   *junitDetail `xml:"skipped"`
	}
	junitDetail struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes one test suite for each source and in it one test case for
// each object, policy and rule. A case fails if one of its results does; warnings
// alone leave it passed and are in the suite's output, since the format knows no
// warnings.
func writeJUnit(w io.Writer, r *Report, o Options) error {
	var suites junitSuites
	results := r.sorted()
	for len(results) > 0 {
		n := 1
		for n < len(results) && results[n].Source == results[0].Source {
			n++
		}
		suite := junitSuiteOf(results[:n], o)
		suite.ID = len(suites.Suites)
		suites.Suites = append(suites.Suites, suite)
		results = results[n:]
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitSuiteOf is the suite of the results of one source.
func junitSuiteOf(results []Result, o Options) junitSuite {
	suite := junitSuite{
		Name: plain(source(results[0])), Package: "portcullis", Hostname: "localhost", Time: "0",
		Properties: []junitProperty{{"portcullis.version", plain(o.Version)}},
	}
	if !o.Time.IsZero() {
		suite.Timestamp = o.Time.UTC().Format("2006-01-02T15:04:05")
	}
	for _, results := range junitGroups(results) {
		c := junitCaseOf(results)
		suite.Cases = append(suite.Cases, c)
		switch {
		case c.Failure != nil:
			suite.Failures++
		case c.Error != nil:
			suite.Errors++
		case c.Skipped != nil:
			suite.Skipped++
		}
		for _, r := range results {
			if r.Result == Warn {
				suite.Out += "warning: " + junitLine(r) + "\n"
			}
		}
	}
	suite.Tests = len(suite.Cases)
	return suite
}

// junitGroups are the results of each object, policy and rule, in their order.
func junitGroups(results []Result) [][]Result {
	type key struct {
		objectKey
		policy, rule string
	}
	index := map[key]int{}
	var groups [][]Result
	for _, r := range results {
		k := key{keyOf(r), r.Policy, r.Rule}
		i, known := index[k]
		if !known {
			i = len(groups)
			index[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

func junitCaseOf(results []Result) junitCase {
	r := results[0]
	c := junitCase{Name: plain(ruleID(Result{Rule: r.Rule})), Classname: object(r), Time: "0"}
	if r.Policy != "" {
		c.Name = plain(r.Policy) + ": " + c.Name
	}
	if c.Classname == "" {
		c.Classname = plain(source(r))
	}
	// A case has one of them at most.
	c.Failure = junitDetailOf(results, Fail)
	if c.Failure == nil {
		c.Error = junitDetailOf(results, Error)
	}
	if c.Failure == nil && c.Error == nil {
		c.Skipped = junitDetailOf(results, Skip)
	}
	return c
}

// junitDetailOf describes the results of an outcome, nil where there are none.
func junitDetailOf(results []Result, outcome Outcome) *junitDetail {
	var lines []string
	var first Result
	for _, r := range results {
		if r.Result != outcome {
			continue
		}
		if lines == nil {
			first = r
		}
		lines = append(lines, junitLine(r))
	}
	if lines == nil {
		return nil
	}
	message := sentence(first)
	if more := len(lines) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return &junitDetail{Message: message, Type: plain(ruleID(first)), Text: strings.Join(lines, "\n")}
}

func junitLine(r Result) string {
	line := fmt.Sprintf("%s: %s: %s", place(r), plain(ruleID(r)), sentence(r))
	if r.Fix != "" {
		line += ". Fix: " + plain(r.Fix)
	}
	return line
}

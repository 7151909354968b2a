package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

func newTest(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run tests of policies that are kept as files",
		Long: `Test runs the documents of kind PolicyTest in files and folders: each judges
objects by policies, and says what is expected. Registries are never asked; what
they would answer stands in the test.

Exit codes: 0 all cases hold, 1 one does not, 2 wrong usage or a test that cannot
be read.`,
		Example: `  portcullis test policies/tests/
  portcullis test --output junit policies/tests/ > tests.xml`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			return runTests(cmd.Context(), paths, output, s)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or junit")
	return cmd
}

// testOutcome is what came of one case.
type testOutcome struct {
	file, test, name string
	difference       string
	err              error
}

func runTests(ctx context.Context, paths []string, output string, s streams) error {
	if output != "text" && output != "junit" {
		return usageError{fmt.Errorf("reading --output %q: want text or junit", output)}
	}
	if len(paths) == 0 {
		return usageError{errors.New("nothing to test: name files or folders with documents of kind " + policyTestKind)}
	}
	var all []testOutcome
	in := input.Open(ctx, input.Options{Paths: paths, Stdin: s.in})
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			switch {
			case p != nil:
				all = append(all, testOutcome{file: p.Source, err: p})
			case d.Kind == policyTestKind && d.APIVersion == policies.GroupVersion().String():
				all = append(all, testDocument(ctx, d)...)
			}
		}
	}
	if len(all) == 0 {
		return usageError{fmt.Errorf("there is no document of apiVersion %s, kind %s in %s", policies.GroupVersion(), policyTestKind, engine.Quote(strings.Join(paths, ", ")))}
	}
	write := writeTestText
	if output == "junit" {
		write = writeTestJUnit
	}
	if err := write(s.out, all); err != nil {
		return usageError{err}
	}
	verdict := error(nil)
	for _, o := range all {
		if o.err != nil {
			return errUnjudged
		}
		if o.difference != "" {
			verdict = errViolated
		}
	}
	return verdict
}

// testDocument runs the cases of one test.
func testDocument(ctx context.Context, d *input.Document) []testOutcome {
	one := testOutcome{file: d.Source, test: d.Name}
	unreadable := func(err error) []testOutcome {
		one.err = fmt.Errorf("%s: document %d: %w", d.Source, d.Index, err)
		return []testOutcome{one}
	}
	if p := unknownTestField(d); p != nil {
		one.err = p
		return []testOutcome{one}
	}
	t, err := loadPolicyTest(d.Raw())
	if err != nil {
		return unreadable(err)
	}
	folder := filepath.Dir(d.Source)
	j, err := t.judge(folder)
	if err != nil {
		return unreadable(err)
	}
	outcomes := make([]testOutcome, len(t.Cases))
	for i := range t.Cases {
		c := &t.Cases[i]
		outcomes[i] = one
		outcomes[i].name = c.Name
		if outcomes[i].difference, err = c.run(ctx, j, folder); err != nil {
			outcomes[i].err = fmt.Errorf("%s: document %d: case %q: %w", d.Source, d.Index, c.Name, err)
		}
	}
	return outcomes
}

// unknownTestField is the first field of a test that there is not, nil: none.
func unknownTestField(d *input.Document) *input.Problem {
	data, err := d.JSON()
	if err != nil {
		return nil // which loadPolicyTest says
	}
	unknown, err := pod.UnknownFields(data, policyTest{})
	if err != nil || len(unknown) == 0 {
		return nil
	}
	message := "unknown field"
	switch f := unknown[0]; {
	case f.Path.String() == "spec":
		message += "; a " + policyTestKind + " has none: write policies or preset, and cases, beside metadata"
	case f.Meant != (pod.Path{}):
		message += "; did you mean " + last(f.Meant) + "?"
	default:
		message += "; docs/policy-tests.md has those that there are"
	}
	return problemAt(d, unknown[0].Path, message)
}

func writeTestText(w io.Writer, all []testOutcome) error {
	var b strings.Builder
	held, failed, unreadable := 0, 0, 0
	for _, o := range all {
		name := unquoted(o.test + ": " + o.name)
		switch {
		case o.err != nil:
			unreadable++
			fmt.Fprintf(&b, "ERROR %s\n", strings.ReplaceAll(unquotedLines(o.err.Error()), "\n", "\n      "))
		case o.difference != "":
			failed++
			fmt.Fprintf(&b, "FAIL  %s (%s)\n      %s\n", name, unquoted(o.file), strings.ReplaceAll(unquotedLines(o.difference), "\n", "\n      "))
		default:
			held++
			fmt.Fprintf(&b, "ok    %s\n", name)
		}
	}
	fmt.Fprintf(&b, "%d held, %d failed, %d could not be run\n", held, failed, unreadable)
	_, err := io.WriteString(w, b.String())
	return err
}

// The elements of a JUnit report that CI systems read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		ClassName string      `xml:"classname,attr"`
		Name      string      `xml:"name,attr"`
		Failure   *junitFault `xml:"failure"`
		Error     *junitFault `xml:"error"`
	}
	junitFault struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeTestJUnit(w io.Writer, all []testOutcome) error {
	var suites junitSuites
	for _, o := range all {
		if n := len(suites.Suites); n == 0 || suites.Suites[n-1].Name != o.file {
			suites.Suites = append(suites.Suites, junitSuite{Name: o.file})
		}
		suite := &suites.Suites[len(suites.Suites)-1]
		c := junitCase{ClassName: o.test, Name: o.name}
		switch {
		case o.err != nil:
			c.Error = &junitFault{Message: "the test cannot be run", Text: o.err.Error()}
			suite.Errors++
			suites.Errors++
		case o.difference != "":
			first, _, _ := strings.Cut(o.difference, "\n")
			c.Failure = &junitFault{Message: first, Text: o.difference}
			suite.Failures++
			suites.Failures++
		}
		suite.Cases = append(suite.Cases, c)
		suite.Tests++
		suites.Tests++
	}
	data, err := xml.MarshalIndent(suites, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JUnit: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}

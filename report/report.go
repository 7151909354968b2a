// Package report writes what a human or a CI system reads about judged
// workloads.
//
// Without it each front end would word, order and escape findings on its own:
// the terminal would say something else than the annotation on the pull request,
// a name with markup or control characters in it would run in somebody's browser
// or terminal, and a summary would count what was never judged among what is
// fine. A front end collects results in a Report, and each format is a pure
// function of that.
package report

import (
	"cmp"
	"fmt"
	"slices"
)

// Outcome is what became of one rule on one object. The words are those of the
// result field of a PolicyReport.
type Outcome string

// The outcomes of a Result.
const (
	// Pass: the rule was judged and found nothing.
	Pass Outcome = "pass"
	// Fail: a finding that denies at admission.
	Fail Outcome = "fail"
	// Warn: a finding that denies nothing: its mode is Warn or Audit, or it was
	// there before.
	Warn Outcome = "warn"
	// Error: something could not be judged because the input cannot be read.
	Error Outcome = "error"
	// Skip: something was not judged, for the reason that the message gives; or it
	// was, and an exception exempts it: see Exemption.
	Skip Outcome = "skip"
)

// InputRule is the Rule of results about input that could not be read, which
// belong to no policy.
const InputRule = "input"

// Result is what one rule of one policy says about one field of an object, or
// that it says nothing about the object.
type Result struct {
	// Source is the path as given plus what the walk added, "-" for standard input.
	Source string `json:"source"`
	// Document is the place of the YAML document in Source, counted from 1; 0 where
	// the result is about the source as a whole.
	Document int `json:"document"`
	// Line and Column are the place of the field in Source, or of the field that
	// would have it, counted from 1; 0 where they are not known. Columns count
	// characters.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	// Kind, Namespace and Name are those of the object; they are empty for a source
	// that cannot be read.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`

	// Policy is the name of the policy, or Namespace/NAME for what the labels of a
	// namespace say.
	Policy string `json:"policy"`
	// Rule is the key of the policy's section: podSecurity.
	Rule string `json:"rule"`
	// Check is the control inside the rule, for podSecurity upstream's id:
	// capabilities_restricted. Empty where a rule has just one, and for a pass.
	Check string `json:"check"`
	// Mode is Enforce, Warn or Audit.
	Mode string `json:"mode"`
	// Result is the outcome.
	Result Outcome `json:"result"`

	// Container is the container it is about, empty for the pod.
	Container string `json:"container"`
	// Field is the path of the field: spec.containers[0].image.
	Field string `json:"field"`
	// Value is the JSON value of the field, nil where the field is not set.
	Value any `json:"value,omitempty"`
	// Whole marks a field that is set and too much to quote, so that it has no Value.
	Whole bool `json:"-"`
	// Message says what is wrong, as a part of a sentence without a full stop.
	Message string `json:"message"`
	// Fix says what to write instead, as an imperative without a full stop.
	Fix string `json:"fix"`
	// Exemption is set for a finding that an exception covers. Result is then Skip,
	// and Mode what it would have without the exception.
	Exemption *Exemption `json:"exemption,omitempty"`
	// AdmittedWhileDown is set in an audit for a finding about an object that was
	// created while the webhook was away, and would have been refused.
	AdmittedWhileDown *Absence `json:"admittedWhileDown,omitempty"`
}

// Absence is a time in which no webhook answered, as in RFC 3339. Until is empty
// where none answers yet.
type Absence struct {
	From  string `json:"from"`
	Until string `json:"until"`
}

// String is the time in words.
func (a Absence) String() string {
	if a.Until == "" {
		return "since " + plain(a.From)
	}
	return fmt.Sprintf("between %s and %s", plain(a.From), plain(a.Until))
}

// Summary counts what a Report is about.
type Summary struct {
	// Objects are the workloads that were judged.
	Objects int `json:"objects"`
	// Pass, Fail, Warn, Error and Skip count results.
	Pass  int `json:"pass"`
	Fail  int `json:"fail"`
	Warn  int `json:"warn"`
	Error int `json:"error"`
	Skip  int `json:"skip"`
	// Exempt counts those of Skip that were judged, and are exempt.
	Exempt int `json:"exempt"`
	// Files are the sources that were read.
	Files int `json:"files"`
	// NotWorkloads are the documents that no rule is for: Services, ConfigMaps.
	NotWorkloads int `json:"notWorkloads"`
	// Unmatched are those of Objects that no policy is for, so that nothing is
	// known about them.
	Unmatched int `json:"unmatched"`
}

// Report is what a run found. Its zero value is empty and ready to use. It is
// not safe for concurrent use.
type Report struct {
	Results []Result `json:"results"`
	// Exceptions are those that cover something of what was judged. They are kept by
	// AddException.
	Exceptions []ExceptionUse `json:"exceptions,omitempty"`
	// Summary is kept up to date by Add, apart from Objects, Files,
	// NotWorkloads and Unmatched, which are the caller's to count.
	Summary Summary `json:"summary"`
}

// Add takes results in and counts them. The results of one object are to be
// added in the order in which they should be read.
func (r *Report) Add(results ...Result) {
	for _, result := range results {
		switch result.Result {
		case Pass:
			r.Summary.Pass++
		case Fail:
			r.Summary.Fail++
		case Warn:
			r.Summary.Warn++
		case Skip:
			r.Summary.Skip++
			if result.Exemption != nil {
				r.Summary.Exempt++
			}
		default: // an outcome that nobody knows is no pass
			result.Result = Error
			r.Summary.Error++
		}
		r.Results = append(r.Results, result)
	}
}

// sorted are the results by source, document and object, and in the order of Add
// within an object, whatever the order in which workers delivered them.
func (r *Report) sorted() []Result {
	results := append([]Result{}, r.Results...) // never nil, which JSON has another word for
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Or(
			cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Document, b.Document),
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return results
}

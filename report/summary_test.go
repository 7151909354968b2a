package report

import "testing"

func TestVerdict(t *testing.T) {
	two := []Result{{Name: "a", Result: Fail}, {Name: "a", Result: Fail}, {Name: "b", Result: Fail}}
	for want, r := range map[string]*Report{
		"2 objects would be refused":                                 with(Summary{Objects: 3}, two...),
		"1 object would be refused, and 1 input could not be judged": with(Summary{Objects: 3}, two[0], Result{Result: Error}),
		"2 inputs could not be judged":                               with(Summary{}, Result{Result: Error}, Result{Result: Error}),
		"no object was judged":                                       with(Summary{Files: 4, NotWorkloads: 9}),
		"no policy matches any object, so nothing was judged":        with(Summary{Objects: 2, Unmatched: 2}),
		"nothing was judged: every rule was skipped":                 with(Summary{Objects: 2}, Result{Result: Skip}),
		"nothing is refused among what was judged":                   with(Summary{Objects: 2}, Result{Result: Skip}, Result{Result: Pass}),
		"nothing is refused":                                         with(Summary{Objects: 2}, Result{Result: Pass}, Result{Result: Warn}),
	} {
		if got := verdict(r); got != want {
			t.Errorf("%+v: got %q, want %q", r.Summary, got, want)
		}
	}
}

func with(s Summary, results ...Result) *Report {
	r := &Report{Summary: s}
	r.Add(results...)
	return r
}

func TestCounts(t *testing.T) {
	s := Summary{Objects: 1, Files: 2, Pass: 3, Fail: 1, Warn: 2, Error: 0, Skip: 4, Unmatched: 1, NotWorkloads: 2}
	if got, want := counts(s), "1 object in 2 files: 1 failure, 2 warnings, 0 errors, 3 passed, 4 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

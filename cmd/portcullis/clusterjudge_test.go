package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/validate"
)

// TestClusterJudge requires that the audit finds in the objects of all case files
// what check finds in the files, with answers of registries too, and that it knows
// which answers that rests on.
func TestClusterJudge(t *testing.T) {
	j := parityJudge(t, everyRule)
	audited, err := newClusterJudge(j, "1", []string{"latest"})
	if err != nil {
		t.Fatal(err)
	}
	files := caseFiles(t, "*/*.yaml", 50)
	asked := 0
	for _, file := range files {
		t.Run(file.name(), func(t *testing.T) {
			c := file.check(t, j)
			review := file.review(t, j)
			review.Request = validate.Request{} // which a scan has not
			got := audited.Judge(t.Context(), review)
			if diff := cmp.Diff(findingsIn(c.report.Results), findingsIn(got.Findings)); diff != "" {
				t.Errorf("-check +audit:\n%s", diff)
			}
			if got.Passed != c.report.Summary.Pass || len(got.Readiness) != 2 {
				t.Errorf("got %d passed, readiness %v, want %d, and both levels", got.Passed, got.Readiness, c.report.Summary.Pass)
			}
			for _, need := range got.Needs {
				if _, ok := got.Facts[need.Image]; !ok {
					t.Errorf("got no fact about %q, which was asked for", need.Image)
				}
			}
			asked += len(got.Needs)
		})
	}
	if asked < len(files) {
		t.Errorf("got %d needs in %d files, although digests are pinned", asked, len(files))
	}
}

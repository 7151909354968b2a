package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSkips(t *testing.T) {
	skip := func(name, policy, message string) Result {
		return Result{Source: "a.yaml", Kind: "Pod", Name: name, Policy: policy, Rule: "rootUser", Result: Skip, Message: message}
	}
	var got []string
	for _, s := range skips([]Result{
		skip("a", "p", "offline"), skip("a", "p", "offline"), skip("b", "p", "offline"), skip("b", "p", "other\x1b"),
		{Kind: "Pod", Name: "c", Result: Fail},
		{Source: "s.yaml", Result: Skip, Rule: "digests", Message: "m"},
	}) {
		got = append(got, s.String())
	}
	want := []string{
		"rootUser of policy p was not judged for 2 objects: offline",
		`rootUser of policy p was not judged for 1 object: other\x1b`,
		"digests was not judged for 1 object: m",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

package policies

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// matchingNames are the names of the policies that apply.
func matchingNames(s *Set, t Target) string {
	var names []string
	for _, m := range s.Matching(nil, t) {
		names = append(names, m.Policy.Name)
	}
	return strings.Join(names, " ")
}

// TestMatchingRemembers compares what is remembered with what is looked up, while
// namespaces change their labels and the same targets come again.
func TestMatchingRemembers(t *testing.T) {
	var texts []string
	for i := range 4 {
		texts = append(
			texts,
			fmt.Sprintf(`{match: {namespaces: ["team-%d-*"]}}`, i),
			fmt.Sprintf(`{match: {namespaceSelector: {matchLabels: {team: "%d"}}}}`, i),
			fmt.Sprintf(`{match: {namespaces: ["team-%d-a"], kinds: [Pod]}}`, i),
			fmt.Sprintf(`{match: {excludeNamespaces: ["*-%d-b"], objectSelector: {matchLabels: {app: x}}}}`, i),
		)
	}
	set := compileText(t, specs(texts...))
	if len(set.rest) < memoFrom {
		t.Fatalf("got %d policies that are not found by name, want at least %d", len(set.rest), memoFrom)
	}
	matched := 0
	for round := range 3 {
		for i := range 4 {
			for _, suffix := range []string{"a", "b"} {
				for _, kind := range []string{"Pod", "Deployment"} {
					for _, app := range []string{"x", "y"} {
						target := Target{
							Namespace: fmt.Sprintf("team-%d-%s", i, suffix), NamespaceLabels: map[string]string{"team": fmt.Sprint((i + round) % 4)},
							Kind: kind, Labels: map[string]string{"app": app},
						}
						var want []string
						for _, c := range set.policies {
							if c.scope.containsNamespace(target) && c.scope.containsWorkload(target) {
								want = append(want, c.Name)
							}
						}
						if got := matchingNames(set, target); got != strings.Join(want, " ") {
							t.Errorf("round %d: %+v: got policies %s, want %s", round, target, got, want)
						}
						matched += len(want)
					}
				}
			}
		}
	}
	if matched == 0 {
		t.Error("got no policy that matches, want some")
	}
}

// TestMemoIsBounded has namespaces come and go without end.
func TestMemoIsBounded(t *testing.T) {
	set := globPolicies(t)
	for i := range 3 * maxMemo {
		set.Matching(nil, Target{Namespace: fmt.Sprintf("pr-%d", i)})
		if count := set.memo.count.Load(); count > maxMemo {
			t.Fatalf("got %d namespaces remembered, want at most %d", count, maxMemo)
		}
	}
	remembered := 0
	set.memo.known.Range(func(any, any) bool { remembered++; return true })
	if remembered == 0 || remembered > maxMemo {
		t.Errorf("got %d namespaces in memory, want some and at most %d", remembered, maxMemo)
	}
	got := set.Matching(nil, Target{Namespace: "team-007-a", NamespaceLabels: map[string]string{"team": "7"}})
	if len(got) != 1 || got[0].Policy.scope.namespaces[0].String() != "team-007-*" {
		t.Errorf("got %d policies, want the one of team 7", len(got))
	}
}

// TestMemoConcurrently is of use with -race.
func TestMemoConcurrently(t *testing.T) {
	set := globPolicies(t)
	var work sync.WaitGroup
	for worker := range 8 {
		work.Go(func() {
			for i := range 2000 {
				team := (worker + i) % 200
				target := Target{Namespace: fmt.Sprintf("team-%03d-a", team), NamespaceLabels: map[string]string{"team": fmt.Sprint(team)}}
				if got := set.Matching(nil, target); len(got) != 1 || got[0].Policy.scope.namespaces[0].String() != fmt.Sprintf("team-%03d-*", team) {
					t.Errorf("%s: got %d policies, want the one of team %d", target.Namespace, len(got), team)
					return
				}
			}
		})
	}
	work.Wait()
}

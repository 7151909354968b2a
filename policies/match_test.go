package policies

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compileText compiles the policies of a file.
func compileText(t testing.TB, text string) *Set {
	t.Helper()
	list, err := Load([]byte(text), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// specs is a file of policies with these specs, p0, p1 and so on.
func specs(list ...string) string {
	var text strings.Builder
	for i, spec := range list {
		fmt.Fprintf(&text, "---\n%sspec: {mutate: {digests: {}}, %s\n", head(fmt.Sprintf("p%d", i)), spec[1:])
	}
	return text.String()
}

func TestMatching(t *testing.T) {
	target := Target{
		Namespace: "team-a", NamespaceLabels: map[string]string{"stage": "production"},
		Kind: "Deployment", Labels: map[string]string{"app": "web"},
		Username: "system:serviceaccount:ci:deployer", RuntimeClass: "gvisor",
	}
	tests := []struct {
		match string
		want  bool
	}{
		{`{}`, true},
		{`{namespaces: [team-a]}`, true},
		{`{namespaces: [team-b]}`, false},
		{`{namespaces: [team]}`, false},
		{`{namespaces: ["team-*"]}`, true},
		{`{namespaces: [x, "team-*"]}`, true},
		{`{namespaces: ["*-b"]}`, false},
		{`{excludeNamespaces: [team-a]}`, false},
		{`{excludeNamespaces: ["team-*"]}`, false},
		{`{excludeNamespaces: [team-b]}`, true},
		{`{namespaces: ["*"], excludeNamespaces: [team-a]}`, false},
		{`{excludeUsernames: ["system:serviceaccount:ci:deployer"]}`, false},
		{`{excludeUsernames: ["system:serviceaccount:ci:deploy", "ci:deployer"]}`, true},
		{`{excludeRuntimeClasses: [kata, gvisor]}`, false},
		{`{excludeRuntimeClasses: [gvisor-2]}`, true},
		{`{namespaceSelector: {}}`, true},
		{`{namespaceSelector: {matchLabels: {stage: production}}}`, true},
		{`{namespaceSelector: {matchLabels: {stage: test}}}`, false},
		{`{namespaceSelector: {matchExpressions: [{key: exempt, operator: DoesNotExist}]}}`, true},
		{`{namespaceSelector: {matchExpressions: [{key: stage, operator: NotIn, values: [production]}]}}`, false},
		{`{objectSelector: {matchLabels: {app: web}}}`, true},
		{`{objectSelector: {matchLabels: {stage: production}}}`, false},
		{`{kinds: [Deployment]}`, true},
		{`{kinds: [Pod, CronJob]}`, false},
		{`{namespaces: [team-a], namespaceSelector: {matchLabels: {stage: production}}, objectSelector: {matchLabels: {app: web}}, kinds: [Deployment]}`, true},
		{`{namespaces: [team-a], namespaceSelector: {matchLabels: {stage: production}}, objectSelector: {matchLabels: {app: web}}, kinds: [Pod]}`, false},
	}
	for _, tc := range tests {
		set := compileText(t, head("p")+"spec: {mutate: {digests: {}}, match: "+tc.match+"}")
		if got := len(set.Matching(nil, target)) == 1; got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.match, got, tc.want)
		}
	}
}

func TestMatchingIsByName(t *testing.T) {
	list, err := Load([]byte(specs(`{match: {namespaces: [b, a]}}`, `{}`, `{match: {namespaces: [a]}}`, `{match: {namespaces: [b]}}`,
		`{match: {namespaces: ["a*"]}}`, `{match: {namespaces: [a]}}`)), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		slices.Reverse(list)
		set, err := Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range set.Matching(nil, Target{Namespace: "a", Kind: "Pod"}) {
			got = append(got, m.Policy.Name)
		}
		if diff := cmp.Diff([]string{"p0", "p1", "p2", "p4", "p5"}, got); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		if set.Len() != 6 {
			t.Errorf("got %d policies, want 6", set.Len())
		}
	}
}

func TestMatchingAppends(t *testing.T) {
	set := compileText(t, specs(`{}`, `{}`))
	dst := make([]Match, 0, 4)
	got := set.Matching(dst, Target{Namespace: "a"})
	if len(got) != 2 || &got[0] != &dst[:1][0] {
		t.Errorf("got %d matches, want 2 in the slice that was given", len(got))
	}
	if got := set.Matching(got, Target{Namespace: "a"}); len(got) != 4 {
		t.Errorf("got %d matches, want 4: what dst holds stays", len(got))
	}
	if got := (&Set{}).Matching(nil, Target{Namespace: "a"}); got != nil {
		t.Errorf("got %v from the zero Set, want nothing", got)
	}
}

func TestModeOf(t *testing.T) {
	const overrides = `modeOverrides: [{namespaces: [audited], mode: Audit}, {namespaces: ["legacy-*", audited-too], mode: Warn}, {namespaces: [canary], mode: Enforce}]`
	tests := []struct {
		policy Mode
		ns     string
		rule   Mode // empty: none of its own
		want   Mode
	}{
		{ModeEnforce, "a", "", ModeEnforce},
		{ModeEnforce, "a", ModeAudit, ModeAudit},
		{ModeAudit, "a", ModeEnforce, ModeEnforce},
		{ModeEnforce, "legacy-1", "", ModeWarn},
		{ModeEnforce, "legacy-1", ModeEnforce, ModeWarn},
		{ModeEnforce, "legacy-1", ModeAudit, ModeAudit},
		{ModeAudit, "legacy-1", "", ModeWarn},
		{ModeAudit, "legacy-1", ModeEnforce, ModeWarn},
		{ModeEnforce, "audited", ModeWarn, ModeAudit},
		{ModeAudit, "canary", "", ModeEnforce},
		{ModeAudit, "canary", ModeWarn, ModeWarn},
	}
	for _, tc := range tests {
		set := compileText(t, head("p")+"spec: {mode: "+string(tc.policy)+", mutate: {digests: {}}, "+overrides+"}")
		var rule *Mode
		if tc.rule != "" {
			rule = &tc.rule
		}
		matches := set.Matching(nil, Target{Namespace: tc.ns})
		if got := matches[0].ModeOf(rule); got != tc.want {
			t.Errorf("policy %s, rule %q in %s: got %s, want %s", tc.policy, tc.rule, tc.ns, got, tc.want)
		}
	}
}

func TestModeStricterThan(t *testing.T) {
	modes := append([]Mode{"from nowhere"}, Modes()[1:]...)
	for i := range modes {
		for j := range modes {
			if got, want := modes[i].StricterThan(modes[j]), i < j; got != want {
				t.Errorf("%s stricter than %s: got %v, want %v", modes[i], modes[j], got, want)
			}
		}
	}
}

// TestMatchingConcurrently is for the race detector.
func TestMatchingConcurrently(t *testing.T) {
	set := manyPolicies(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 1000 {
				if got := set.Matching(nil, Target{Namespace: fmt.Sprintf("ns-%d", i*1000+j), Kind: "Pod"}); len(got) != 1 {
					t.Errorf("got %d matches, want 1", len(got))
					return
				}
			}
		})
	}
	group.Wait()
}

// manyPolicies is 200 policies for 10,000 namespaces: each namespace has one policy, and there is one for namespaces that are not there.
func manyPolicies(t testing.TB) *Set {
	var list []*PodPolicy
	for i := range 199 {
		p := &PodPolicy{Spec: PodPolicySpec{Mutate: MutateSpec{Digests: &DigestPinning{}}}}
		p.Name = fmt.Sprintf("team-%03d", i)
		for j := i; j < 10_000; j += 199 {
			p.Spec.Match.Namespaces = append(p.Spec.Match.Namespaces, fmt.Sprintf("ns-%d", j))
		}
		list = append(list, p)
	}
	platform := &PodPolicy{Spec: PodPolicySpec{Match: MatchSpec{Namespaces: []string{"platform-*"}}, Mutate: MutateSpec{Digests: &DigestPinning{}}}}
	platform.Name = "platform"
	set, err := Compile(append(list, platform))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func globPolicies(t testing.TB) *Set {
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprintf(`{match: {namespaces: ["team-%03d-*"], excludeNamespaces: ["team-%03d-test-*"], namespaceSelector: {matchLabels: {team: "%d"}}}}`, i, i, i))
	}
	return compileText(t, specs(texts...))
}

func TestMatchingAllocations(t *testing.T) {
	set := manyPolicies(t)
	one := make([]Match, 0, 1)
	tests := []struct {
		name   string
		dst    []Match
		target Target
		want   float64
	}{
		{"nothing matches", nil, Target{Namespace: "other", Kind: "Pod"}, 0},
		{"one matches", nil, Target{Namespace: "ns-77", Kind: "Pod"}, 1},
		{"one matches, room for it", one, Target{Namespace: "ns-77", Kind: "Pod"}, 0},
	}
	for _, tc := range tests {
		if got := testing.AllocsPerRun(100, func() { set.Matching(tc.dst, tc.target) }); got != tc.want {
			t.Errorf("%s: got %v allocations, want %v", tc.name, got, tc.want)
		}
	}
	labels := map[string]string{"team": "7"}
	globs := globPolicies(t)
	if got := testing.AllocsPerRun(100, func() { globs.Matching(one, Target{Namespace: "team-007-a", NamespaceLabels: labels}) }); got != 0 {
		t.Errorf("globs and selectors: got %v allocations, want 0", got)
	}
}

func BenchmarkMatching(b *testing.B) {
	one := compileText(b, specs(`{match: {namespaces: [other]}}`))
	named, globs := manyPolicies(b), globPolicies(b)
	dst := make([]Match, 0, 1)
	labels := map[string]string{"team": "123"}
	benchmarks := []struct {
		name   string
		set    *Set
		target Target
	}{
		{"1 policy, none matches", one, Target{Namespace: "ns-7777", Kind: "Pod"}},
		{"200 policies by name, none matches", named, Target{Namespace: "elsewhere", Kind: "Pod"}},
		{"200 policies by name, 1 matches", named, Target{Namespace: "ns-7777", Kind: "Pod"}},
		{"200 policies by glob, 1 matches", globs, Target{Namespace: "team-123-a", Kind: "Pod", NamespaceLabels: labels}},
	}
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = bm.set.Matching(dst[:0], bm.target)
			}
		})
	}
}

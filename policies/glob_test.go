package policies

import (
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern    string
		match, not []string
	}{
		{"kube-system", []string{"kube-system"}, []string{"kube-system-evil", "xkube-system", "kube", ""}},
		{"*", []string{"a", "kube-system"}, nil},
		{"team-*", []string{"team-a", "team-", "team-a-b"}, []string{"team", "xteam-a"}},
		{"*-prod", []string{"a-prod", "-prod"}, []string{"a-prod-x", "prod"}},
		{"a*b*c", []string{"abc", "axxbxxc", "abbcbc"}, []string{"ab", "acb", "abcd"}},
		{"*aab", []string{"aaab", "aab-aab"}, []string{"aaba"}},
		{"**a", []string{"a", "ba"}, []string{"ab"}},
	}
	for _, tc := range tests {
		glob, err := ParseGlob(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tc.match {
			if !glob.Match(name) {
				t.Errorf("%s on %q: got no match, want one", tc.pattern, name)
			}
		}
		for _, name := range tc.not {
			if glob.Match(name) {
				t.Errorf("%s on %q: got a match, want none", tc.pattern, name)
			}
		}
		if glob.String() != tc.pattern || glob.Exact() != (tc.pattern == "kube-system") {
			t.Errorf("%s: got %s, exact %v", tc.pattern, glob, glob.Exact())
		}
	}
	if (Glob{}).Match("") || (Glob{}).Match("a") {
		t.Error("the zero Glob matches, want nothing matched")
	}
}

func TestGlobCovers(t *testing.T) {
	tests := []struct {
		glob, other string
		want        bool
	}{
		{"*", "*", true},
		{"*", "a", true},
		{"a*", "a*b", true},
		{"a*", "a-*", true},
		{"a-*", "a*", false},
		{"a*b", "a*", false},
		{"a", "*", false},
		{"a", "a", true},
	}
	for _, tc := range tests {
		glob, err := ParseGlob(tc.glob)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ParseGlob(tc.other)
		if err != nil {
			t.Fatal(err)
		}
		if got := glob.Covers(other); got != tc.want {
			t.Errorf("%s covers %s: got %v, want %v", tc.glob, tc.other, got, tc.want)
		}
	}
}

// TestGlobTime is about patterns that take a matcher which tries every way exponential time.
func TestGlobTime(t *testing.T) {
	start := time.Now()
	if matchStars(strings.Repeat("a*", 100)+"b", strings.Repeat("a", 100_000)) {
		t.Error("got a match, want none")
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v, want less than a second", took)
	}
}

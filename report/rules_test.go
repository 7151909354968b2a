package report

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/policies"
)

// explained reports whether an id has an entry of its own.
func explained(id string) bool {
	for _, h := range helpTexts {
		if h.id == id {
			return true
		}
	}
	return false
}

// TestEveryRuleIsExplained requires a help text for each section that a policy
// can have, for each check of upstream, and for each check that a refusal names.
func TestEveryRuleIsExplained(t *testing.T) {
	for _, of := range []reflect.Type{reflect.TypeFor[policies.ValidateSpec](), reflect.TypeFor[policies.MutateSpec]()} {
		for i := range of.NumField() {
			rule, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !explained(rule) {
				t.Errorf("%s.%s: rule %q has no help text in rules.go", of.Name(), of.Field(i).Name, rule)
			}
		}
	}
	for _, check := range policy.DefaultChecks() {
		if !explained("podSecurity/" + string(check.ID)) {
			t.Errorf("upstream's check %q has no help text in rules.go", check.ID)
		}
	}
	paths, err := filepath.Glob("../engine/testdata/*.golden")
	if err != nil || len(paths) == 0 {
		t.Fatalf("got golden files %v, %v, want those of the engine", paths, err)
	}
	found := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^[a-zA-Z/-]+: ([a-zA-Z]+/[a-zA-Z_]+): `).FindAllStringSubmatch(string(data), -1) {
			found++
			if !explained(match[1]) {
				t.Errorf("%s: check %q has no help text in rules.go", path, match[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("got %d refusals in %v, want all", found, paths)
	}
}

func TestHelpTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range helpTexts {
		if seen[h.id] {
			t.Errorf("%s: has two help texts", h.id)
		}
		seen[h.id] = true
		if h.category == "" || !strings.HasSuffix(h.short, ".") || !strings.HasSuffix(h.long, ".") || strings.Count(h.short, ". ") > 0 {
			t.Errorf("%s: got %+v, want a category, one sentence and a text", h.id, h)
		}
		if file, own := strings.CutPrefix(h.link, docsURL); own {
			if _, err := os.Stat(filepath.Join("..", "docs", file)); err != nil {
				t.Errorf("%s: links to what is not there: %v", h.id, err)
			}
		}
	}
}

// TestUnknownRule requires that a rule that nobody has written about works.
func TestUnknownRule(t *testing.T) {
	if got := helpFor("podSecurity/brandNew"); got.id != "podSecurity/brandNew" || got.short != helpFor("podSecurity").short {
		t.Errorf("got %+v, want the text of podSecurity", got)
	}
	if got, want := helpFor("brandNew/x").short, "The rule brandNew of a policy does not hold."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

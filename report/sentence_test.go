package report

import (
	"strings"
	"testing"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
)

// TestSentence requires the words of an admission answer.
func TestSentence(t *testing.T) {
	for _, value := range []any{nil, "nginx:1", true, int64(0), []string{"a"}, strings.Repeat("x", 300), "a\x1b[2Jb"} {
		f := engine.Finding{Policy: "p", Finding: pod.Finding{
			Rule: "podSecurity", Check: "privileged", Container: "app", Value: value, Message: "forbidden", Fix: "set it to false",
		}}
		r := Result{Policy: "p", Rule: f.Rule, Check: f.Check, Container: f.Container, Field: "FIELD", Value: value, Message: f.Message, Fix: f.Fix, Result: Fail}
		want := strings.Replace(f.String(), `"app":  `, `"app": FIELD `, 1) // the finding's own path is empty
		got := r.Policy + ": " + ruleID(r) + ": " + sentence(r) + ". Fix: " + r.Fix + "."
		if got != want {
			t.Errorf("value %v:\ngot  %s\nwant %s", value, got, want)
		}
	}
	skip := Result{Result: Skip, Field: "spec.x", Message: "no registry is contacted"}
	if got, want := sentence(skip), "spec.x: no registry is contacted"; got != want {
		t.Errorf("got %q, want %q: nothing is known about the value", got, want)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"plain text, 'q' \"d\"": "plain text, 'q' \"d\"",
		"a\nb\tc\r":             `a\nb\tc\r`,
		"\x1b[31mred\x1b[0m":    `\x1b[31mred\x1b[0m`,
		"c1 \u009b2J":           `c1 \u009b2J`,
		"rtl \u202egnp.exe":     `rtl \u202egnp.exe`,
		"zero\u200bwidth":       `zero\u200bwidth`,
		"line\u2028separator":   `line\u2028separator`,
		"bad \xff\xfe utf8":     `bad \xff\xfe utf8`,
		"umlaut ä, 漢字, עברית":   "umlaut ä, 漢字, עברית",
		"real \ufffd":           "real \ufffd",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestPlace(t *testing.T) {
	for _, test := range []struct {
		result       Result
		place, named string
	}{
		{Result{Source: "a.yaml", Line: 3, Column: 4, Kind: "Pod", Namespace: "n", Name: "x"}, "a.yaml:3:4", "Pod n/x"},
		{Result{Source: "a.yaml", Line: 3, Kind: "Pod", Name: "x"}, "a.yaml:3", "Pod x"},
		{Result{Source: "a.yaml", Column: 3}, "a.yaml", ""},
		{Result{Source: "-", Line: 1, Column: 1}, "<stdin>:1:1", ""},
		{Result{Source: "a\nb", Kind: "Po\x1bd"}, `a\nb`, `Po\x1bd`},
	} {
		if got := place(test.result); got != test.place {
			t.Errorf("place: got %q, want %q", got, test.place)
		}
		if got := object(test.result); got != test.named {
			t.Errorf("object: got %q, want %q", got, test.named)
		}
	}
}

func TestLine(t *testing.T) {
	r := Result{
		Source: "web.yaml", Line: 12, Column: 9, Kind: "Pod", Namespace: "shop", Name: "web", Rule: "podSecurity", Check: "privileged", Result: Fail,
		Container: "app", Field: "spec.containers[0].securityContext.privileged", Value: true, Message: "forbidden\x1b[31m", Fix: "set it to false",
	}
	const rest = `podSecurity/privileged: container "app": spec.containers[0].securityContext.privileged is true: forbidden\x1b[31m. Fix: set it to false`
	if got, want := Line(r, "not fixed"), "web.yaml:12:9: not fixed "+rest; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Line, r.Column = 0, 0
	if got, want := Line(r, "not fixed"), "web.yaml: Pod shop/web: not fixed "+rest; got != want {
		t.Errorf("without a line: got %s, want %s", got, want)
	}
	if got, want := Place(Result{Source: "-"}), "<stdin>"; got != want {
		t.Errorf("without an object: got %s, want %s", got, want)
	}
}

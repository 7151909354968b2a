package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/net/html"
)

// hostile are texts that have broken reports elsewhere: as names, values and
// messages they come from whoever writes a manifest.
var hostile = []string{
	"<script>alert(1)</script>",
	"\"><img src=x onerror=alert(1)>",
	"</style></script></textarea><!--",
	"{{.Policy}} ${x} {0}",
	"]]> <![CDATA[ &amp; &#0; \x00\x01\x1f\x7f",
	"line\r\n::error file=x::y\n##[error]z",
	"%0A%25::,=:",
	"\x1b[2J\x1b]0;title\x07\u009b31m",
	"\u202egnp.exe\u202c \u2066x\u2069 \u200f\u200e",
	"\u2028\u2029\ufeff\ufffe\uffff\U0010ffff",
	"\xff\xfe\xc0\x80 no utf-8",
	"--- \n- a: &x *x !!binary |\n...\n",
	strings.Repeat("very-long-name-", 40),
	"' OR 1=1; -- `rm -rf` $(id)",
	"javascript:alert(1)",
	"[text](https://evil.example) **b** | c |",
}

// hostileReport has the texts in every field of a finding, of what was skipped
// and of what could not be read.
func hostileReport(texts ...string) *Report {
	text := func(i int) string { return texts[i%len(texts)] }
	r := &Report{}
	for i := range texts {
		for _, outcome := range []Outcome{Fail, Warn, Skip, Error, Pass} {
			r.Add(Result{
				Source: text(i), Document: 1, Line: 1, Column: 1, Kind: text(i + 1), Namespace: text(i + 2), Name: text(i + 3),
				Policy: text(i + 4), Rule: text(i + 5), Check: text(i + 6), Mode: text(i + 7), Result: outcome,
				Container: text(i + 8), Field: text(i + 9), Value: text(i + 10), Message: text(i + 11), Fix: text(i + 12),
			})
		}
	}
	return r
}

func TestHostileTexts(t *testing.T) {
	requireUnbroken(t, schema(t, sarifSchema), hostileReport(hostile...))
	options := Options{Version: strings.Join(hostile, ""), Time: sampleTime}
	for _, format := range Formats() {
		requireNoControl(t, format, write(t, format, sample(), options))
	}
}

func FuzzTexts(f *testing.F) {
	for i, text := range hostile {
		f.Add(text, hostile[(i+1)%len(hostile)], hostile[(i+2)%len(hostile)])
	}
	s := schema(f, sarifSchema)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		// The page leaves out what is empty; everything else must not change it.
		requireUnbroken(t, s, hostileReport(a+"x", b+"x", c+"x"))
	})
}

// requireUnbroken requires that no text gets out of the place that a format has
// for it.
func requireUnbroken(t *testing.T, s *jsonschema.Schema, r *Report) {
	t.Helper()
	outputs := map[Format][]byte{}
	for _, format := range Formats() {
		outputs[format] = write(t, format, r, sampleOptions)
		requireNoControl(t, format, outputs[format])
	}
	var back Report
	if err := json.Unmarshal(outputs["json"], &back); err != nil || len(back.Results) != len(r.Results) {
		t.Errorf("json: got %d results, %v, want %d", len(back.Results), err, len(r.Results))
	}
	validate(t, s, outputs["sarif"])
	requireJUnit(t, outputs["junit"])
	requirePolicyReports(t, outputs["policyreport"])
	found := 0
	for _, result := range r.Results {
		if gitHubLevel(result) != "" {
			found++
		}
	}
	if got, want := len(gitHubCommands(t, string(outputs["github"]))), found+len(skips(r.sorted())); got != want {
		t.Errorf("github: got %d annotations, want %d", got, want)
	}
	requireHarmlessHTML(t, outputs["html"], found)
}

// requireNoControl requires that no character of an output does something to a
// terminal, or turns around what is around it.
func requireNoControl(t *testing.T, format Format, output []byte) {
	t.Helper()
	if format == "json" {
		return // the raw values are its purpose, escaped as JSON has it
	}
	for _, c := range string(output) {
		if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c)) {
			t.Errorf("%s: got %q in the output", format, c)
			return
		}
	}
}

// requireHarmlessHTML requires that a page has the elements and attributes of the
// template alone, and as many findings as there are.
func requireHarmlessHTML(t *testing.T, page []byte, findings int) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	template, err := html.Parse(strings.NewReader(htmlPage))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"tbody": true}
	for n := range template.Descendants() {
		known[n.Data] = true
		for _, a := range n.Attr {
			known[n.Data+" "+a.Key] = true
		}
	}
	counts := map[string]int{}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("got the comment %q, want none", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		counts[n.Data]++
		if !known[n.Data] {
			t.Errorf("got element <%s>, which the template does not have", n.Data)
		}
		for _, a := range n.Attr {
			if !known[n.Data+" "+a.Key] {
				t.Errorf("got attribute %s of <%s>, which the template does not have", a.Key, n.Data)
			}
			if a.Key == "class" && a.Val == "finding" {
				counts["finding"]++
			}
			if a.Key == "href" && !slices.ContainsFunc([]string{"#findings", "data:,", projectURL, standardsURL}, func(want string) bool { return strings.HasPrefix(a.Val, want) }) {
				t.Errorf("got a link to %q", a.Val)
			}
		}
	}
	for element, want := range map[string]int{"script": 1, "style": 1, "meta": 5, "main": 1, "h1": 1, "finding": findings} {
		if counts[element] != want {
			t.Errorf("got %d <%s>, want %d", counts[element], element, want)
		}
	}
}

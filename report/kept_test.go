package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
)

// TestKeptIsBounded holds a report to its size in the worst case of texts, and to
// counting what it leaves out.
func TestKeptIsBounded(t *testing.T) {
	long := strings.Repeat(`"<\`+"\x00", 2000)
	k := &Kept{API: KeptAPIs()[0], Namespace: strings.Repeat("n", 63), Overflow: 4000}
	for i := range 1000 {
		r := Result{
			Kind: "Deployment", Namespace: k.Namespace, Name: strings.Repeat("a", 253), Policy: strings.Repeat("p", 253), Rule: "podSecurity", Check: "privileged",
			Mode: "Enforce", Result: Fail, Container: strings.Repeat("c", 63), Field: fmt.Sprint(i, long), Value: long, Message: long, Fix: long,
		}
		k.Findings = append(k.Findings, KeptFinding{Result: r, FirstSeen: time.Unix(1000, 0), LastSeen: time.Unix(2000, 0)})
	}
	data, err := k.Object()
	if err != nil {
		t.Fatal(err)
	}
	var o keptObject
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(5000 - len(o.Results)); len(data) >= MaxKept || len(o.Results) < 50 || o.Metadata.Annotations["portcullis.dev/findings-left-out"] != want {
		t.Errorf("got %d bytes with %d results, %v left out, want less than %d, at least 50, and %s", len(data), len(o.Results), o.Metadata.Annotations, MaxKept, want)
	}
	for _, r := range o.Results {
		for _, text := range []string{r.Message, r.Properties["field"], r.Properties["value"], r.Properties["fix"]} {
			if len(text) > maxKeptText+len("...") || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("got %d bytes of text, %.40q, want at most %d and no control character", len(text), text, maxKeptText)
			}
		}
	}
	seen, err := ReadKept(data)
	if at := seen[k.Findings[0].ID()]; err != nil || !at.Equal(time.Unix(1000, 0)) {
		t.Errorf("got %d findings, the first one seen at %v, error %v, want the time that was written", len(seen), at, err)
	}
}

func TestKeptAPIs(t *testing.T) {
	for i, want := range []string{
		`{"apiVersion":"openreports.io/v1alpha1","kind":"Report","metadata":{"name":"portcullis","namespace":"shop",`,
		`{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReport","metadata":{"name":"portcullis","namespace":"shop",`,
	} {
		data, err := (&Kept{API: KeptAPIs()[i], Namespace: "shop"}).Object()
		if err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("got %s, %v, want a text that begins with %s", data, err, want)
		}
		if got := strings.Contains(string(data), `"source":`); got != (i == 0) {
			t.Errorf("got %s, want a source with OpenReports alone", data)
		}
	}
	data, err := (&Kept{API: KeptAPIs()[1]}).Object()
	if err != nil || !strings.Contains(string(data), `"kind":"ClusterPolicyReport"`) || strings.Contains(string(data), `"namespace"`) {
		t.Errorf("got %s, %v, want a ClusterPolicyReport without a namespace", data, err)
	}
}

func TestRuleCounts(t *testing.T) {
	var texts []string
	for _, r := range RuleCounts(many(30).Results) {
		texts = append(texts, fmt.Sprintf("%s %s: %s", r.Result, ruleID(r), r.Message))
	}
	if want := "fail podSecurity/capabilities_restricted: 4 findings in 3 workloads of 3 namespaces"; texts[0] != want || len(texts) != 10 {
		t.Errorf("got %q, want ten, the first one %q", texts, want)
	}
}

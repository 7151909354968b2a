package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestHTML(t *testing.T) {
	got := write(t, "html", sample(), sampleOptions)
	requireHarmlessHTML(t, got, 5)
	// The golden file is about the content, in lines that can be read; style and
	// script would only be copied.
	content := bytes.Replace(bytes.Replace(got, []byte(htmlStyle), []byte("STYLE"), 1), []byte(htmlScript), []byte("SCRIPT"), 1)
	content = regexp.MustCompile(`sha256-[^ ]*&#39;`).ReplaceAll(content, []byte("sha256-HASH&#39;"))
	if !bytes.Contains(content, []byte("<style>STYLE</style>")) || !bytes.Contains(content, []byte("<script>SCRIPT</script>")) {
		t.Error("got style or script other than the files have, so that their hashes do not hold")
	}
	content = regexp.MustCompile(`<(section|tr|article|li|p|meta|/)`).ReplaceAll(content, []byte("\n<$1"))
	golden(t, "page.html", content)
}

func TestHTMLOfNothing(t *testing.T) {
	got := string(write(t, "html", &Report{}, Options{}))
	for _, absent := range []string{`id="rules"`, `id="skipped"`, "<form", "<article", "<time", "version"} {
		if page := strings.NewReplacer(htmlStyle, "", htmlScript, "").Replace(got); strings.Contains(page, absent) {
			t.Errorf("got %s, want sections without content left out", absent)
		}
	}
	if !strings.Contains(got, ">no object was judged</h2>") || !strings.Contains(got, "There are none.") {
		t.Errorf("got no verdict:\n%s", got)
	}
}

// TestHTMLAsksForNothing requires that neither page nor style nor script names
// anything that a browser would fetch.
func TestHTMLAsksForNothing(t *testing.T) {
	for name, text := range map[string]string{"page.html": htmlPage, "page.css": htmlStyle, "page.js": htmlScript} {
		for _, pattern := range []string{`\ssrc=`, `@import`, `url\(`, `\bfetch\(`, `XMLHttpRequest`, `innerHTML`, `\seval\(`, `\sstyle="`, `\son[a-z]+="`, `https?://`} {
			if at := regexp.MustCompile(pattern).FindString(text); at != "" {
				t.Errorf("%s has %q", name, at)
			}
		}
	}
}

// many is a report with n findings, ten to an object.
func many(n int) *Report {
	checks := []string{"privileged", "hostPorts", "runAsNonRoot", "seccompProfile_restricted", "capabilities_restricted"}
	r := &Report{Summary: Summary{Files: n / 10, Objects: n / 10}}
	for i := range n {
		object := i / 10
		outcome, mode := Fail, "Enforce"
		if i%3 == 0 {
			outcome, mode = Warn, "Warn"
		}
		r.Add(Result{
			Source: fmt.Sprintf("apps/team-%02d/app-%04d.yaml", object%40, object), Document: 1, Line: 20 + i%10, Column: 9,
			Kind: "Deployment", Namespace: fmt.Sprintf("team-%02d", object%40), Name: fmt.Sprintf("app-%04d", object),
			Policy: "production", Rule: "podSecurity", Check: checks[i%len(checks)], Mode: mode, Result: outcome,
			Container: fmt.Sprintf("container-%d", i%10), Field: fmt.Sprintf("spec.template.spec.containers[%d].securityContext", i%10),
			Value: map[string]any{"privileged": true}, Message: "forbidden by Pod Security restricted:latest (privileged)", Fix: "set it to false",
		})
	}
	return r
}

func BenchmarkHTML5000(b *testing.B) {
	r := many(5000)
	for b.Loop() {
		size := len(write(b, "html", r, sampleOptions))
		b.ReportMetric(float64(size)/1e6, "MB")
	}
}

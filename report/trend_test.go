package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestTrendDrawn looks at the trend in a browser: where its lines are, what a screen
// reader is told of them, and that the table says the same.
func TestTrendDrawn(t *testing.T) {
	a := sampleAudit()
	v := open(t, writeAudit(t, "html", a))
	if got, want := evaluate[string](v, `document.querySelector(".trend svg").getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id).textContent).join(" - ")`),
		"Denied and warned workloads over 8 days - From 17 denied and 3 warned of 38 workloads on 13 Nov 2026, 00:30 UTC to 10 and 5 of 39 on 21 Nov 2026, 09:30 UTC."; got != strings.Replace(want, "13 Nov 2026, 00:30", trendTimeOf(a.Trend[0].Time), 1) {
		t.Errorf("got the name and description %q, want %q", got, want)
	}
	if got := evaluate[string](v, `[...document.querySelectorAll(".trend .key")].map((k) => k.textContent).join("; ")`); got != "denied, now 10; warned, now 5" {
		t.Errorf("got the key %q", got)
	}
	// The line begins at the left at 17 of 18, and ends at the right at 10 of 18.
	plot := evaluate[[]float64](v, `(() => {
		const line = document.querySelector("polyline.denied"), box = line.ownerSVGElement.getBoundingClientRect(), here = line.getScreenCTM();
		return [line.points[0], line.points[line.points.length - 1]].flatMap((p) => { const at = p.matrixTransform(here); return [(at.x - box.left) / box.width, (box.bottom - at.y) / box.height]; });
	})()`)
	for i, want := range []float64{0, 17.0 / 18, 1, 10.0 / 18} {
		if plot[i] < want-0.01 || plot[i] > want+0.01 {
			t.Errorf("got the ends of the line of the denied at %v, want the left at 17 of 18 and the right at 10 of 18", plot)
			break
		}
	}
	v.run(chromedp.Click(`.figures summary`))
	rows := evaluate[string](v, `[...document.querySelectorAll(".figures tbody tr")].filter((r) => r.checkVisibility()).map((r) => [...r.children].map((c) => c.textContent).join("|")).join("\n")`)
	lines := strings.Split(rows, "\n")
	if len(lines) != 30 || lines[0] != "21 Nov 2026, 09:30 UTC|10|5|39|31|0|of a part of the cluster" || !strings.HasSuffix(lines[29], "|17|3|38|60|0|") {
		t.Errorf("got %d rows, the first %q and the last %q, want 30, the newest first", len(lines), lines[0], lines[len(lines)-1])
	}
	for scheme, colours := range map[string]map[string]string{"light": {}, "dark": {}} {
		v.colourScheme(scheme)
		for _, line := range []string{"denied", "warned"} {
			colours[line] = evaluate[string](v, fmt.Sprintf(`getComputedStyle(document.querySelector("polyline.%s")).stroke`, line))
		}
		if colours["denied"] == colours["warned"] {
			t.Errorf("%s: got one colour, %s, for both lines", scheme, colours["denied"])
		}
	}
	v.requireQuiet()
}

func trendTimeOf(at time.Time) string { return at.UTC().Format("2 Jan 2006, 15:04") }

// TestNoTrend requires that a page without former figures shows no trend, nor one
// of a single scan.
func TestNoTrend(t *testing.T) {
	now := sampleOptions.Time
	for name, trend := range map[string][]Figures{
		"none": nil, "one": {{Time: now, Denied: 3}}, "one, twice": {{Time: now}, {Time: now}},
	} {
		a := sampleAudit()
		a.Trend = trend
		if page := string(writeAudit(t, "html", a)); strings.Contains(page, `id="trend"`) {
			t.Errorf("%s: got a trend", name)
		}
	}
	a := sampleAudit()
	slices.Reverse(a.Trend) // whatever the order
	got, want := pageTrendOf(a.Trend), pageTrendOf(sampleAudit().Trend)
	if got == nil || got.Description != want.Description || got.Lines[0].Points != want.Lines[0].Points {
		t.Errorf("got %+v of figures the other way round, want %+v", got, want)
	}
}

// TestAuditNotice requires that the page of an audit that is not there says nothing
// about findings.
func TestAuditNotice(t *testing.T) {
	var b strings.Builder
	n := AuditNotice{Text: `"portcullis-x<b>" scans`, Remarks: []string{"kubectl\u202e port-forward"}, Trend: sampleAudit().Trend}
	if err := WriteAuditNotice(&b, n, sampleOptions); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{`portcullis-x&lt;b&gt;`, `kubectl\u202e port-forward`, `id="trend"`} {
		if !strings.Contains(page, want) {
			t.Errorf("got no %s:\n%s", want, page)
		}
	}
	for _, absent := range []string{"There are none", `id="findings"`, `class="numbers"><div`, "\u202e"} {
		if strings.Contains(page, absent) {
			t.Errorf("got %q in a page without an audit", absent)
		}
	}
	v := open(t, []byte(page))
	v.requireQuiet()
}

// TestPageOfTooMany requires that a page lists the worst findings and says how many
// there are.
func TestPageOfTooMany(t *testing.T) {
	a := &Audit{Report: *many(maxPageFindings + 600)}
	for i := range a.Results { // the last are the worst
		a.Results[i].Result, a.Results[i].Mode = Warn, "Audit"
		if i >= maxPageFindings {
			a.Results[i].Result, a.Results[i].Mode = Fail, "Enforce"
		}
	}
	page := string(writeAudit(t, "html", a))
	if got := strings.Count(page, `<li class="finding"`); got != maxPageFindings {
		t.Errorf("got %d findings, want %d", got, maxPageFindings)
	}
	if got := strings.Count(page, `data-result="fail"`); got != 600 {
		t.Errorf("got %d failures, want all 600", got)
	}
	if want := "These are the 5000 worst of 5600 findings."; !strings.Contains(page, want) {
		t.Errorf("got no %q", want)
	}
}

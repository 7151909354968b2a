package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// sampleAudit is an audit of namespaces between ready and far from it, with a name
// that wants to be more than a name.
func sampleAudit() *Audit {
	a := &Audit{Pods: 40, Unseen: []string{"jobs.batch: jobs.batch is forbidden"}}
	a.Report = *many(40)
	a.Summary.Objects = 40
	for i, n := range []string{"team-00", "team-01", "team-02", "team-03", `<b onclick="window.hacked=1">x`} {
		a.Namespaces = append(a.Namespaces, NamespaceCounts{Namespace: n, Workloads: 8, Pods: 8, Denied: i, Warned: 1})
		for _, level := range []string{"baseline", "restricted"} {
			c := Readiness{Namespace: n, Level: level, Version: "latest", Workloads: 8, Blocked: 2 * i, Blockers: []Blocker{}}
			if level == "restricted" {
				c.Repairable = i
			}
			if c.Blocked > 0 {
				c.Blockers = append(c.Blockers, Blocker{"privileged", 2 * i, c.Repairable})
			}
			a.Readiness = append(a.Readiness, c)
		}
	}
	for i := range 30 {
		a.Trend = append(a.Trend, Figures{
			Time: sampleOptions.Time.Add(time.Duration(i-29) * 7 * time.Hour), Workloads: 38 + i/15, Denied: 17 - i/4, Warned: 3 + i%3, Findings: 60 - i, Unseen: i / 29,
		})
	}
	for i, e := range []struct {
		name, ends string
		needed     int
	}{{"long", "2027-03-01T00:00:00Z", 2}, {"ending", "2026-11-24T12:00:00Z", 1}, {"idle", "2026-11-21T20:00:00Z", 0}} {
		a.AddException(ExceptionUse{
			Exemption: Exemption{"portcullis-system/" + e.name, "team-0" + fmt.Sprint(i), "the exporter <b>needs</b> the port of its host", e.ends}, Objects: 2, Needed: e.needed,
		})
	}
	a.Add(Result{
		Source: "namespaces/team-00", Kind: "DaemonSet", Namespace: "team-00", Name: "exporter", Policy: "production", Rule: "podSecurity", Check: "hostPorts",
		Mode: "Enforce", Result: Skip, Container: "exporter", Field: "spec.template.spec.containers[0].ports[0].hostPort", Value: "9100",
		Message:   "exempt (would fail) by portcullis-system/long of \"team-00\" until 2027-03-01T00:00:00Z: forbidden by Pod Security",
		Exemption: &Exemption{"portcullis-system/long", "team-00", "because", "2027-03-01T00:00:00Z"},
	})
	a.Denied = []Denied{
		{Namespace: "team-01", Kind: "ReplicaSet", Name: "web-<i>1</i>", User: "controller", Policy: "production", Rule: "podSecurity", Check: "privileged", Count: 12, First: "2026-11-20T08:00:00Z", Last: "2026-11-21T09:00:00Z"},
		{Namespace: "team-01", Kind: "ReplicaSet", Name: "web-<i>1</i>", User: "controller", Policy: "production", Rule: "podSecurity", Check: "hostPorts", Count: 12, First: "2026-11-20T08:00:00Z", Last: "2026-11-21T09:00:00Z"},
		{Namespace: "team-02", Kind: "Pod", Name: "debug", User: "user", Policy: "production", Rule: "rootUser", Check: "neverStarts", Count: 1, First: "2026-11-20T07:00:00Z", Last: "2026-11-20T07:00:00Z"},
	}
	a.Images = []PinnedImage{
		{Namespace: "team-00", Image: "registry.example.com/shop/web:1.4@sha256:" + strings.Repeat("a", 64), State: ImageVanished, Workloads: 3, Examples: []string{"Deployment/web"}},
		{Namespace: "team-01", Image: "docker.io/library/nginx:1.27@sha256:" + strings.Repeat("b", 64), State: TagMoved, Tag: "sha256:" + strings.Repeat("c", 64), Workloads: 1, Examples: []string{"Pod/proxy"}},
	}
	a.AdmittedWhileDown = 1
	a.Add(Result{
		Source: "namespaces/team-03", Kind: "Pod", Namespace: "team-03", Name: "smuggled", Policy: "production", Rule: "podSecurity", Check: "privileged",
		Mode: "Enforce", Result: Fail, Container: "c", Field: "spec.containers[0].securityContext.privileged", Value: "true", Message: "privileged", Fix: "remove it",
		AdmittedWhileDown: &Absence{From: "2026-11-21T01:00:00Z", Until: "2026-11-21T01:10:00Z"},
	})
	for i := range 3 {
		a.Changes = append(a.Changes, Change{Kind: "Deployment", Namespace: "team-00", Name: fmt.Sprint(i / 2), Policy: "p", Rule: "hardening", Mode: "Enforce"})
	}
	return a
}

func writeAudit(t testing.TB, format Format, a *Audit) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteAudit(&b, format, a, sampleOptions); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAuditPage(t *testing.T) {
	v := open(t, writeAudit(t, "html", sampleAudit()))
	text := func(selector string) string {
		t.Helper()
		return evaluate[string](v, fmt.Sprintf(`document.querySelector(%q).textContent`, selector))
	}
	if got, want := text("#summary"), "10 workloads of 40 would be refused, as far as the cluster could be seen"; got != want {
		t.Errorf("got the verdict %q, want %q", got, want)
	}
	for row, want := range map[int]string{
		1: "team-00|ready, all 8|ready, all 8",
		2: "team-01|6 of 8 ready|6 of 8 ready, 1 repairable",
		5: `<b onclick="window.hacked=1">x|0 of 8 ready|0 of 8 ready, 4 repairable`,
	} {
		cells := evaluate[string](v, fmt.Sprintf(`[...document.querySelectorAll(".heat tbody tr:nth-child(%d) > *")].map((c) => (c.querySelector("summary") ?? c).textContent).join("|")`, row))
		if cells != want {
			t.Errorf("row %d: got %q, want %q", row, cells, want)
		}
	}
	colours := evaluate[string](v, `[...new Set([...document.querySelectorAll(".heat td")].map((c) => c.className + " " + getComputedStyle(c).backgroundColor))].sort().join("; ")`)
	if got := strings.Count(colours, "heat-"); got != 4 || strings.Contains(colours, "rgba(0, 0, 0, 0)") {
		t.Errorf("got colours %s, want one for each of the four degrees here", colours)
	}
	exceptions := evaluate[string](v, `[...document.querySelectorAll("[aria-labelledby=exceptions] table:first-of-type tbody tr")].map((r) => [...r.children].map((c) => c.textContent).join("|")).join("\n")`)
	for _, want := range []string{
		"portcullis-system/idle|team-02|21 Nov 2026, 20:00 UTCless than a day left|2 objects|not needed|the exporter <b>needs</b>",
		"portcullis-system/ending|team-01|24 Nov 2026, 12:00 UTC3 days left|2 objects|by 1 of them|",
		"portcullis-system/long|team-00|1 Mar 2027, 00:00 UTC100 days left|2 objects|by 2 of them|",
	} {
		before, after, found := strings.Cut(exceptions, want)
		if !found || strings.Contains(after, "idle|") {
			t.Errorf("got exceptions\n%s\nwant %q in the order of their ends, after %q", exceptions, want, before)
		}
	}
	for selector, want := range map[string]string{
		"[aria-labelledby=images] tbody tr:first-child": "team-00registry.example.com/shop/web:1.4@sha256:" + strings.Repeat("a", 64) + "warn vanished from its registry: pods that have it cannot be pulled on a new nodeDeployment/web, and 2 more",
		"[aria-labelledby=denied] tbody tr:first-child": `team-01ReplicaSet web-<i>1</i>12 times by podSecurity/hostPorts, podSecurity/privileged of policy "production"controller2026-11-21T09:00:00Z`,
		".away": "Admitted while the webhook was away, between 2026-11-21T01:00:00Z and 2026-11-21T01:10:00Z",
	} {
		if got := text(selector); got != want {
			t.Errorf("%s: got %q, want %q", selector, got, want)
		}
	}
	v.run(chromedp.Click(`.namespace-filter[value="namespace team-01"]`))
	evaluate[bool](v, settled)
	if got, want := evaluate[string](v, shownText), "10 of 41 findings, in 1 of 5 objects"; got != want {
		t.Errorf("by the table of namespaces: got %q, want %q", got, want)
	}
	v.run(chromedp.Click(`.heat tbody tr:nth-child(2) td:nth-of-type(2) summary`))
	if !evaluate[bool](v, `document.querySelector(".heat tbody tr:nth-child(2) td:nth-of-type(2) li").checkVisibility()`) {
		t.Error("a click on a cell does not show what blocks it")
	}
	if got := evaluate[string](v, hostileRun); got != "undefined" {
		t.Errorf("got window.hacked %s, want nothing run", got)
	}
	v.requireQuiet()
}

// TestAuditPageLooks writes screenshots to the folder in $SCREENSHOTS.
func TestAuditPageLooks(t *testing.T) {
	v := open(t, writeAudit(t, "html", sampleAudit()))
	for _, look := range []struct {
		name, scheme string
		width        int64
	}{{"audit-light", "light", 1280}, {"audit-dark", "dark", 1280}, {"audit-narrow", "light", 380}, {"audit-narrow-dark", "dark", 380}} {
		v.colourScheme(look.scheme)
		v.run(chromedp.EmulateViewport(look.width, 2400))
		if evaluate[int64](v, `document.documentElement.scrollWidth`) > look.width {
			t.Errorf("%s: the page is wider than %d pixels", look.name, look.width)
		}
		keep(t, look.name+".png", get(v, chromedp.CaptureScreenshot()))
	}
	v.requireQuiet()
}

// TestAuditTextIsPlain requires that no control character reaches a terminal.
func TestAuditTextIsPlain(t *testing.T) {
	a := sampleAudit()
	for i, text := range hostile {
		a.Namespaces = append(a.Namespaces, NamespaceCounts{Namespace: text})
		a.Readiness = append(a.Readiness, Readiness{Namespace: text, Level: text, Version: text, Workloads: 1, Blocked: 1, Blockers: []Blocker{{Check: text}}})
		a.Changes = append(a.Changes, Change{Policy: text, Rule: text, Mode: text, Name: fmt.Sprint(i)})
		a.Unseen = append(a.Unseen, text)
	}
	for _, r := range string(writeAudit(t, "text", a)) {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e) {
			t.Fatalf("got the character %q", r)
		}
	}
}

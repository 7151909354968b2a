package audit

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/report"
)

// latest is one with a history of two scans.
func latest(t *testing.T) *Latest {
	t.Helper()
	h, _ := historyOf(emptyHistory())
	for i := range 2 {
		if _, err := h.Add(t.Context(), report.Figures{Time: noon.Add(time.Duration(i-3) * time.Hour), Workloads: 5, Denied: 4 - i}); err != nil {
			t.Fatal(err)
		}
	}
	return &Latest{
		Version: "v1.2.3", History: h, Namespace: "portcullis-system", Port: "8083",
		Leader: func() string { return "" }, Log: slog.New(slog.DiscardHandler),
	}
}

func ask(l http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

func TestLatestShowsTheLastScan(t *testing.T) {
	l := latest(t)
	l.begin()
	first := sampleScan()
	trend, err := l.History.Add(t.Context(), first.Figures())
	if err != nil {
		t.Fatal(err)
	}
	l.show(first, trend)
	page := ask(l, http.MethodGet, PagePath)
	for _, want := range []string{"1 workload of 5 would be refused", "shop/web-0", "set it to false", `id="trend"`, "21 November 2026, 12:00 UTC", "version v1.2.3"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("got a page without %q", want)
		}
	}
	// The same page for a browser, compressed.
	packed := ask(l, http.MethodGet, PagePath, "Accept-Encoding", "gzip, br")
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil || string(unpacked) != page.Body.String() {
		t.Errorf("got another page (%v) compressed", err)
	}
	// Not that of the scan before.
	second := sampleScan()
	second.Workloads = second.Workloads[3:]
	l.show(second, nil)
	if got := ask(l, http.MethodGet, PagePath).Body.String(); strings.Contains(got, "web-0") || strings.Contains(got, `id="trend"`) {
		t.Error("got the page of the scan before")
	}
	var found struct {
		Summary report.Summary `json:"summary"`
		Trend   []any          `json:"trend"`
	}
	l.show(first, trend)
	answer := ask(l, http.MethodGet, JSONPath)
	if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil || found.Summary.Fail != 1 || len(found.Trend) != 3 {
		t.Errorf("got %+v (%v), want one failure and a trend of three", found, err)
	}
}

func TestLatestHeaders(t *testing.T) {
	l := latest(t)
	l.begin()
	l.show(sampleScan(), nil)
	for _, path := range []string{PagePath, JSONPath, "/", "/other"} {
		h := ask(l, http.MethodGet, path).Header()
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: got %s %q, want %q", path, header, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || !strings.HasSuffix(policy, "; frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: got the policy %q", path, policy)
		}
	}
	if got := ask(l, http.MethodGet, PagePath).Body.String(); !strings.Contains(got, "sha256-") {
		t.Error("got a page without its policy, which it has to keep when it is saved")
	}
}

func TestLatestMethods(t *testing.T) {
	l := latest(t)
	l.begin()
	l.show(sampleScan(), nil)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", http.StatusFound},
		{http.MethodGet, PagePath, http.StatusOK},
		{http.MethodGet, JSONPath, http.StatusOK},
		{http.MethodHead, PagePath, http.StatusOK},
		{http.MethodHead, JSONPath, http.StatusOK},
		{http.MethodPost, PagePath, http.StatusMethodNotAllowed},
		{http.MethodDelete, JSONPath, http.StatusMethodNotAllowed},
		{http.MethodGet, "/audit/", http.StatusNotFound},
		{http.MethodGet, "/metrics", http.StatusNotFound},
	} {
		got := ask(l, test.method, test.path)
		if got.Code != test.status {
			t.Errorf("%s %s: got status %d, want %d", test.method, test.path, got.Code, test.status)
		}
		if test.method == http.MethodHead && got.Body.Len() > 0 {
			t.Errorf("HEAD %s: got %d bytes", test.path, got.Body.Len())
		}
	}
}

// TestLatestElsewhere holds what a replica shows that has nothing of its own to show:
// who has, and the trend.
func TestLatestElsewhere(t *testing.T) {
	for _, test := range []struct {
		name     string
		scanning bool
		exposed  bool
		leader   string
		want     []string
	}{
		{"before the first scan", true, false, "portcullis-1_x", []string{"the first scan of this replica is not complete yet"}},
		{"while nobody leads", false, false, "", []string{"no replica scans at the moment"}},
		{"while another leads", false, false, "portcullis-7d9f_5b-1", []string{
			"this replica does not scan: portcullis-7d9f does", "kubectl -n portcullis-system port-forward pod/portcullis-7d9f 8083",
		}},
		{"exposed, while another leads", false, true, "portcullis-7d9f_5b-1", []string{
			"this replica does not scan: portcullis-7d9f does", "Ask port 8083 of the pod portcullis-7d9f in the namespace portcullis-system",
		}},
		{"while one of a strange name leads", false, false, "<img src=x>\x1b[2J_y", []string{`img src=x\u003e\u001b[2J does`}},
	} {
		l := latest(t)
		l.Leader, l.Exposed = func() string { return test.leader }, test.exposed
		l.begin()
		if !test.scanning {
			l.show(sampleScan(), nil) // and then the lease is lost
			l.end()
		}
		answer, page := ask(l, http.MethodGet, JSONPath), ask(l, http.MethodGet, PagePath)
		for _, w := range []*httptest.ResponseRecorder{answer, page} {
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
				t.Errorf("%s: got status %d and headers %v, want 503 and when to try again", test.name, w.Code, w.Header())
			}
		}
		for _, want := range test.want {
			if !json.Valid(answer.Body.Bytes()) || !strings.Contains(answer.Body.String(), want) {
				t.Errorf("%s: got JSON %q, want %q", test.name, answer.Body, want)
			}
			if !strings.Contains(want, `\u003e`) && !strings.Contains(page.Body.String(), want) {
				t.Errorf("%s: got a page without %q", test.name, want)
			}
		}
		text := page.Body.String()
		if !strings.Contains(text, `id="trend"`) || strings.Contains(text, "web-0") || strings.Contains(text, "There are none") || strings.Contains(text, "<img") || strings.Contains(text, "\x1b") {
			t.Errorf("%s: got a page with findings, or without the trend:\n%s", test.name, text)
		}
	}
}

// BenchmarkLatest is the page of 5,000 findings, and what is kept of it.
func BenchmarkLatest(b *testing.B) {
	s := &Scan{Started: noon}
	for i := range 500 {
		j := &Judgement{Matched: true}
		for c := range 10 {
			j.Findings = append(j.Findings, report.Result{
				Policy: "production", Rule: "podSecurity", Check: "privileged", Mode: "Enforce", Result: report.Fail, Container: fmt.Sprintf("container-%d", c),
				Field: fmt.Sprintf("spec.template.spec.containers[%d].securityContext.privileged", c), Value: true, Message: "forbidden by Pod Security restricted:latest", Fix: "set it to false",
			})
		}
		s.Workloads = append(s.Workloads, Workload{Namespace: fmt.Sprintf("team-%02d", i%40), Name: fmt.Sprintf("app-%04d", i), Judgement: j})
	}
	l := &Latest{}
	for b.Loop() {
		l.show(s, nil)
		page, err := l.compressed("html")
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(page))/1e3, "kB")
	}
}

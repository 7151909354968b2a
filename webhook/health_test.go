package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadiness requires the reason in the answer, and one line in the log for
// each change.
func TestReadiness(t *testing.T) {
	var log strings.Builder
	var problem error
	h := &readiness{
		log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
		checks: []check{{"caches", func() error { return nil }}, {"certificate", func() error { return problem }}},
	}
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	for _, step := range []struct {
		problem error
		status  int
		body    string
	}{
		{errors.New("there is none yet"), 503, "not ready\n[+] caches\n[-] certificate: there is none yet\n\n"},
		{errors.New("there is none yet"), 503, "not ready\n[+] caches\n[-] certificate: there is none yet\n\n"},
		{nil, 200, "ready\n[+] caches\n[+] certificate\n"},
		{nil, 200, "ready\n[+] caches\n[+] certificate\n"},
	} {
		problem = step.problem
		if status, body := ask(); status != step.status || body != step.body {
			t.Errorf("with problem %v: got %d %q, want %d %q", problem, status, body, step.status, step.body)
		}
	}
	want := "level=INFO msg=\"not ready\" because=\"certificate: there is none yet\"\nlevel=INFO msg=ready\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

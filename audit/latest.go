package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portcullis-dev/portcullis/report"
)

// The paths that Latest answers, which readers need a right to where it is exposed.
const (
	PagePath = "/audit"
	JSONPath = "/audit.json"
)

// historyTimeout bounds how long a page waits for the history.
const historyTimeout = 5 * time.Second

// Latest shows what the last scan of this replica found, as the page and the JSON of
// `portcullis audit`. A replica that does not scan shows which one does. Its zero
// value with the required fields is ready to use; it is safe for concurrent use.
type Latest struct {
	// Version is that of Portcullis, empty for none.
	Version string
	// History has the figures of former scans. Required.
	History *History
	// Namespace is that of the replicas, Port what they serve this on. Required.
	Namespace, Port string
	// Exposed is set where this is reached over the network, and not by a forwarded
	// port alone.
	Exposed bool
	// Leader is the name in the Lease of the replica that scans, empty while that is
	// not known. Required.
	Leader func() string
	// Log takes what an admin should know. Required.
	Log *slog.Logger

	mutex    sync.Mutex
	scanning bool
	scan     *Scan                    // nil: none yet
	trend    []report.Figures         // of former scans and of this one
	made     map[report.Format][]byte // of the scan, compressed, as far as it has been asked for
}

// begin says that this replica scans.
func (l *Latest) begin() { l.set(true, nil, nil) }

// end says that it does not any more.
func (l *Latest) end() { l.set(false, nil, nil) }

// show has a scan shown from now on.
func (l *Latest) show(s *Scan, trend []report.Figures) { l.set(true, s, trend) }

func (l *Latest) set(scanning bool, s *Scan, trend []report.Figures) {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.scanning, l.scan, l.trend, l.made = scanning, s, trend, nil
}

// ServeHTTP answers GET and HEAD of the two paths, and leads to the page from /.
func (l *Latest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// frame-ancestors counts in a header alone.
	h.Set("Content-Security-Policy", report.PagePolicy()+"; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// What it says is true until the next scan, and for who may read it.
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "there is only something to read: use GET", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/":
		http.Redirect(w, r, PagePath, http.StatusFound)
	case PagePath:
		l.serveScan(w, r, "html", "text/html; charset=utf-8")
	case JSONPath:
		l.serveScan(w, r, "json", "application/json")
	default:
		http.Error(w, fmt.Sprintf("there are %s and %s", PagePath, JSONPath), http.StatusNotFound)
	}
}

// serveScan serves the last scan in a format of report.WriteAudit.
func (l *Latest) serveScan(w http.ResponseWriter, r *http.Request, format report.Format, contentType string) {
	compressed, err := l.compressed(format)
	if err != nil {
		l.fail(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	if compressed == nil {
		l.serveNotice(w, r)
		return
	}
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(compressed)))
		_, _ = w.Write(compressed) // a reader who has gone is nobody's error
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	text, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		l.fail(w, err)
		return
	}
	_, _ = io.Copy(w, text)
}

// compressed is the last scan in a format, nil where there is none. It is made when
// it is asked for, once for each scan and one at a time: the results of a large cluster
// are tens of megabytes while it is made, which compress to a twentieth, and reviews
// are answered from the same memory.
func (l *Latest) compressed(format report.Format) ([]byte, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.scan == nil || l.made[format] != nil {
		return l.made[format], nil
	}
	var b bytes.Buffer
	compress := gzip.NewWriter(&b)
	if err := report.WriteAudit(compress, format, l.report(), l.options()); err != nil {
		return nil, err
	}
	if err := compress.Close(); err != nil {
		return nil, fmt.Errorf("compressing the %s of a scan: %w", format, err)
	}
	if l.made == nil {
		l.made = map[report.Format][]byte{}
	}
	l.made[format] = b.Bytes()
	return l.made[format], nil
}

// report is that of the last scan, which there has to be.
func (l *Latest) report() *report.Audit {
	a := l.scan.Report()
	a.Trend = l.trend
	return a
}

func (l *Latest) options() report.Options {
	return report.Options{Version: l.Version, Time: l.scan.Started.Add(l.scan.Took)}
}

// serveNotice says why there is nothing to show here, and where there is.
func (l *Latest) serveNotice(w http.ResponseWriter, r *http.Request) {
	n := l.notice()
	h := w.Header()
	h.Set("Retry-After", "5")
	h.Set("Connection", "close") // by a new one, a Service may lead to another replica
	if r.URL.Path == JSONPath {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": strings.Join(append([]string{n.Text}, n.Remarks...), ". ")})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), historyTimeout)
	defer cancel()
	trend, err := l.History.Read(ctx)
	if err != nil && !errors.Is(err, ErrNoHistory) && r.Context().Err() == nil {
		l.Log.Warn("showing the trend", "err", err)
	}
	n.Trend = trend
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = report.WriteAuditNotice(w, n, report.Options{Version: l.Version})
}

func (l *Latest) notice() report.AuditNotice {
	l.mutex.Lock()
	scanning := l.scanning
	l.mutex.Unlock()
	if scanning {
		return report.AuditNotice{Text: "the first scan of this replica is not complete yet", Remarks: []string{"Try again in a moment"}}
	}
	// The name of a replica is that of its pod and an id of its process.
	pod, _, _ := strings.Cut(l.Leader(), "_")
	if pod == "" {
		return report.AuditNotice{Text: "no replica scans at the moment", Remarks: []string{"They are agreeing on one; try again in a moment"}}
	}
	n := report.AuditNotice{Text: fmt.Sprintf("this replica does not scan: %s does", pod)}
	if l.Exposed {
		n.Remarks = []string{fmt.Sprintf("Ask port %s of the pod %s in the namespace %s; a Service leads there sooner or later, so ask again", l.Port, pod, l.Namespace)}
		return n
	}
	n.Remarks = []string{fmt.Sprintf("Its page: kubectl -n %s port-forward pod/%s %s", l.Namespace, pod, l.Port)}
	return n
}

func (l *Latest) fail(w http.ResponseWriter, err error) {
	l.Log.Error("showing the last scan", "err", err)
	http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
}

package cloudevents

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// receiver is a sink over TLS whose answers a test chooses.
type receiver struct {
	*httptest.Server
	handle func(w http.ResponseWriter, r *http.Request, attempt int)

	mutex    sync.Mutex
	attempts int
	requests []*http.Request
	bodies   [][]byte
}

func newReceiver(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, attempt int)) *receiver {
	r := &receiver{handle: handle}
	r.Server = httptest.NewUnstartedServer(r)
	r.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.StartTLS()
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mutex.Lock()
	r.attempts++
	attempt := r.attempts
	r.requests, r.bodies = append(r.requests, request), append(r.bodies, body)
	r.mutex.Unlock()
	if r.handle != nil {
		r.handle(w, request, attempt)
	}
}

func (r *receiver) seen() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.attempts
}

// authority is a file with the certificate of the server.
func (r *receiver) authority(t *testing.T) string {
	t.Helper()
	return file(t, "ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a sink that runs until the test ends, and its log.
type running struct {
	*Sink
	log *bytes.Buffer
	// stop ends it and waits.
	stop func()
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	log := &bytes.Buffer{}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	o.Registry = prometheus.NewRegistry()
	if o.Source == "" {
		o.Source = "//cluster.example.com/production"
	}
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	r := &running{Sink: s, log: log, stop: sync.OnceFunc(func() { cancel(); <-done })}
	t.Cleanup(r.stop)
	return r
}

// wait waits until as many events have an outcome.
func (r *running) wait(t *testing.T, want int) {
	t.Helper()
	for range 1000 {
		if r.outcome(delivered)+r.outcome(failed)+r.outcome(dropped) >= want {
			r.stop() // so that the log can be read
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("got %d delivered, %d failed, %d dropped, want %d of all", r.outcome(delivered), r.outcome(failed), r.outcome(dropped), want)
}

func (r *running) outcome(result string) (sum int) {
	for _, typ := range Types() {
		sum += int(testutil.ToFloat64(r.outcomes.WithLabelValues(typ, result)))
	}
	return sum
}

var example = Event{
	Type: FindingsNew, Subject: "namespaces/shop/Deployment/web\x1b[31m", Key: "1",
	Data: map[string]any{"message": "a <b>\x00\x1b[31m", "count": 2},
}

// TestEventIsOneOfTheSpecification has the SDK read what is sent.
func TestEventIsOneOfTheSpecification(t *testing.T) {
	server := newReceiver(t, nil)
	s := run(t, Options{URL: server.URL + "/events?x=1", CAFile: server.authority(t), AuthorizationFile: file(t, "token", []byte("Bearer abc\n"))})
	before := time.Now()
	s.Send(example)
	s.Send(example)
	s.wait(t, 2)
	if s.outcome(delivered) != 2 || server.seen() != 2 {
		t.Fatalf("got %d delivered by %d requests, want 2 and 2: %s", s.outcome(delivered), server.seen(), s.log)
	}
	var first, second event.Event
	for i, e := range []*event.Event{&first, &second} {
		if err := json.Unmarshal(server.bodies[i], e); err != nil {
			t.Fatal(err)
		}
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
	}
	if first.SpecVersion() != "1.0" || first.Type() != FindingsNew || first.Source() != "//cluster.example.com/production" ||
		first.Subject() != "namespaces/shop/Deployment/web\ufffd[31m" || first.DataContentType() != "application/json" || first.ID() == "" {
		t.Errorf("got %s", first)
	}
	if first.ID() != second.ID() {
		t.Errorf("got ids %s and %s for one event told twice, want the same", first.ID(), second.ID())
	}
	if first.Time().Before(before.Truncate(time.Millisecond)) || time.Since(first.Time()) > time.Minute {
		t.Errorf("got time %s, want that of now", first.Time())
	}
	var data map[string]any
	if err := first.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"message": "a <b>\x00\x1b[31m", "count": 2.0}, data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if bytes.ContainsAny(server.bodies[0], "<>\x00\x1b") {
		t.Errorf("got %q, want markup and control characters written as escapes", server.bodies[0])
	}
	r := server.requests[0]
	if got := []string{r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Authorization")}; !slices.Equal(got, []string{
		http.MethodPost, "/events?x=1", "application/cloudevents+json; charset=UTF-8", "Bearer abc",
	}) {
		t.Errorf("got request %q", got)
	}
}

func TestIDsDiffer(t *testing.T) {
	ids := map[string]bool{}
	for _, e := range []Event{{Type: "a", Subject: "b", Key: "c"}, {Type: "a", Subject: "b", Key: "d"}, {Type: "a", Subject: "x", Key: "c"}, {Type: "y", Subject: "b", Key: "c"}} {
		data, err := e.encode("s", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ ID string }
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		ids[got.ID] = true
	}
	if len(ids) != 4 {
		t.Errorf("got ids %v, want one for each of four events", ids)
	}
}

// TestFaults holds what each kind of answer costs, and that nothing of it is logged.
func TestFaults(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	status := func(status int) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "SECRET-XYZ")
		}
	}
	redirect := func(status int, to string) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, r *http.Request, _ int) { http.Redirect(w, r, to, status) }
	}
	hang := func(w http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }
	for _, test := range []struct {
		name     string
		handle   func(http.ResponseWriter, *http.Request, int)
		result   string
		attempts int
		log      string
	}{
		{"ok", status(200), delivered, 1, ""},
		{"no content", func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(204) }, delivered, 1, ""},
		{"it does not like the event", status(400), failed, 1, "the sink answers 400"},
		{"no right", status(401), failed, 1, "the sink answers 401"},
		{"an error", status(500), failed, 5, "the sink answers 500"},
		{"too many", status(429), failed, 5, "the sink answers 429"},
		{"an error, then not", func(w http.ResponseWriter, _ *http.Request, attempt int) {
			if attempt < 3 {
				w.WriteHeader(503)
			}
		}, delivered, 3, ""},
		{"a redirect to another host", redirect(307, elsewhere.URL+"/SECRET-XYZ"), failed, 1, "the sink answers 307; redirects are not followed: name the address that events are taken at"},
		{"a redirect to a metadata service", redirect(302, "http://169.254.169.254/SECRET-XYZ"), failed, 1, "the sink answers 302; redirects are not followed"},
		{"a redirect to itself", func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, r.URL.Path, http.StatusPermanentRedirect)
		}, failed, 1, "the sink answers 308"},
		{"no answer", hang, failed, 5, "the sink does not answer: context deadline exceeded"},
		{"a closed connection", func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }, failed, 5, "the sink does not answer: "},
		{"an answer without end", func(w http.ResponseWriter, r *http.Request, _ int) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, delivered, 1, ""},
		{"an answer byte by byte", func(w http.ResponseWriter, r *http.Request, _ int) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}, delivered, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newReceiver(t, test.handle)
			s := run(t, Options{URL: server.URL + "/path-with-a-secret", CAFile: server.authority(t), Timeout: 300 * time.Millisecond})
			begin := time.Now()
			s.Send(example)
			s.wait(t, 1)
			if s.outcome(test.result) != 1 || server.seen() != test.attempts {
				t.Errorf("got %d %s, %d attempts, want 1 and %d: %s", s.outcome(test.result), test.result, server.seen(), test.attempts, s.log)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %s, want five timeouts at most", took)
			}
			log := s.log.String()
			if !strings.Contains(log, test.log) || (test.log == "") != (log == "") {
				t.Errorf("got log %q, want %q in it", log, test.log)
			}
			for _, secret := range []string{"SECRET-XYZ", "path-with-a-secret"} {
				if strings.Contains(log, secret) {
					t.Errorf("got log %q, with %q", log, secret)
				}
			}
		})
	}
	t.Cleanup(func() { // runs after the parallel tests
		if elsewhere.seen() != 0 {
			t.Errorf("got %d requests at the host that a redirect names, want none", elsewhere.seen())
		}
	})
}

// TestAnswersThatAreNotHTTP holds that nothing of what is no answer is told either.
func TestAnswersThatAreNotHTTP(t *testing.T) {
	for _, text := range []string{
		"SECRET-XYZ SECRET-XYZ", "HTTP/1.1 2SECRET-XYZ no", "HTTP/1.1 200 OK\r\nSECRET-XYZ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: SECRET-XYZ", "HTTP/1.1 200 OK\r\nContent-Length: SECRET-XYZ",
	} {
		server := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			_, _ = io.WriteString(connection, text+"\r\n\r\n")
		})
		s := run(t, Options{URL: server.URL, CAFile: server.authority(t)})
		s.Send(example)
		s.wait(t, 1)
		if log := s.log.String(); s.outcome(failed) != 1 || strings.Contains(log, "SECRET-XYZ") || !strings.Contains(log, "the sink does not answer: what it says is not HTTP") {
			t.Errorf("%q: got %d failed, log %s", text, s.outcome(failed), log)
		}
	}
}

// TestAnswerIsNotRead holds that an answer without end is not waited for.
func TestAnswerIsNotRead(t *testing.T) {
	server := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	s := run(t, Options{URL: server.URL, CAFile: server.authority(t), Timeout: time.Minute})
	s.Send(example)
	s.wait(t, 1) // for ten seconds at most
	if s.outcome(delivered) != 1 {
		t.Errorf("got %d delivered, want 1: %s", s.outcome(delivered), s.log)
	}
}

// TestRetryAfter holds that the sink can ask for time, and only for so much.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "2": 2 * time.Second, "-1": 0, "99999999": 65535 * time.Second, "soon": 0} {
		got := judge(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {header}}})
		if got.after != want || !got.again {
			t.Errorf("Retry-After %q: got %s, again %t, want %s and true", header, got.after, got.again, want)
		}
	}
	server := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, attempt int) {
		if attempt == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
		}
	})
	s := run(t, Options{URL: server.URL, CAFile: server.authority(t)})
	begin := time.Now()
	s.Send(example)
	s.wait(t, 1)
	if took := time.Since(begin); s.outcome(delivered) != 1 || took < time.Second {
		t.Errorf("got %d delivered after %s, want 1 after a second", s.outcome(delivered), took)
	}
}

// TestQueueIsBounded holds that whoever sends never waits, whatever the sink does,
// and that what is lost is counted.
func TestQueueIsBounded(t *testing.T) {
	server := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() })
	s := run(t, Options{URL: server.URL, CAFile: server.authority(t), Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	begin := time.Now()
	const sent = 10_000
	for i := range sent {
		s.Send(Event{Type: PolicyInvalid, Subject: "podpolicies/p", Key: fmt.Sprint(i)})
	}
	took := time.Since(begin)
	if waiting := len(s.queue); waiting > queueLength || took > 5*time.Second {
		t.Errorf("got %d waiting after %s, want %d at most, at once", waiting, took, queueLength)
	}
	if got := s.outcome(dropped); got < sent-queueLength-1 || got >= sent {
		t.Errorf("got %d dropped, want %d or one more", got, sent-queueLength-1)
	}
	begin = time.Now()
	s.stop()
	if took := time.Since(begin); took > lastCall+2*time.Second {
		t.Errorf("stopping took %s, want %s at most", took, lastCall)
	}
	if got := s.outcome(dropped) + s.outcome(failed); got != sent {
		t.Errorf("got %d events with an outcome, want all of %d", got, sent)
	}
	if server.seen() > 3 {
		t.Errorf("got %d attempts, want those of one event and of the last call", server.seen())
	}
}

// TestTheEnd holds that what waits when the process is asked to stop is delivered.
func TestTheEnd(t *testing.T) {
	server := newReceiver(t, nil)
	s := run(t, Options{URL: server.URL, CAFile: server.authority(t)})
	s.stop()
	for i := range 20 {
		s.Send(Event{Type: PolicyInvalid, Subject: "podpolicies/p", Key: fmt.Sprint(i)})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ended)
	if s.outcome(delivered) != 20 {
		t.Errorf("got %d delivered, want 20: %s", s.outcome(delivered), s.log)
	}
}

func TestLargeEvent(t *testing.T) {
	server := newReceiver(t, nil)
	s := run(t, Options{URL: server.URL, CAFile: server.authority(t)})
	s.Send(Event{Type: PolicyInvalid, Subject: "podpolicies/p", Data: strings.Repeat("x", MaxBytes)})
	s.wait(t, 1)
	if s.outcome(dropped) != 1 || server.seen() != 0 || !strings.Contains(s.log.String(), "65536 are the most") {
		t.Errorf("got %d dropped, %d requests, log %s, want 1, none and why", s.outcome(dropped), server.seen(), s.log)
	}
}

// TestTrust holds that nothing is sent to who cannot prove to be the sink.
func TestTrust(t *testing.T) {
	server := newReceiver(t, nil)
	for name, o := range map[string]Options{
		"the system's authorities":  {URL: server.URL},
		"another authority":         {URL: server.URL, CAFile: other(t)},
		"another name than it says": {URL: strings.Replace(server.URL, "127.0.0.1", "sink.corp.example", 1), CAFile: server.authority(t), Resolver: loopback{}},
	} {
		o.AuthorizationFile = file(t, "token", []byte("Bearer abc"))
		s := run(t, o)
		s.Send(example)
		s.wait(t, 1)
		if s.outcome(failed) != 1 || server.seen() != 0 || !strings.Contains(s.log.String(), "tls: failed to verify certificate") {
			t.Errorf("%s: got %d failed, %d requests, log %s, want 1 and none", name, s.outcome(failed), server.seen(), s.log)
		}
	}
}

// other is a file with an authority that has signed nothing here.
func other(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "other.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "other.crt", data)
}

// loopback resolves every name to this host.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// TestFilesAreReadAgain holds that a token and an authority can be renewed.
func TestFilesAreReadAgain(t *testing.T) {
	server := newReceiver(t, nil)
	token, authority := file(t, "token", []byte("Bearer one")), other(t)
	s := run(t, Options{URL: server.URL, CAFile: authority, AuthorizationFile: token})
	await := func(result string, want int) {
		t.Helper()
		for range 500 {
			if s.outcome(result) == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("got %d %s, want %d", s.outcome(result), result, want)
	}
	s.Send(example)
	await(failed, 1)
	data, err := os.ReadFile(server.authority(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, write := range []func() error{
		func() error { return os.WriteFile(authority, data, 0o600) },
		func() error { return os.WriteFile(token, []byte("Bearer two"), 0o600) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
		s.Send(example)
		await(delivered, i+1)
	}
	s.stop()
	if got := []string{server.requests[0].Header.Get("Authorization"), server.requests[1].Header.Get("Authorization")}; !slices.Equal(got, []string{"Bearer one", "Bearer two"}) {
		t.Errorf("got %q, want the content of the file each time", got)
	}
}

// TestAddresses holds where events go: to private addresses, and to no metadata
// service, whatever name leads there. Nothing is dialled.
func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		host, addr string
		want       bool
	}{
		{"sink.corp.example", "10.1.2.3", true},
		{"broker.events.svc", "fd12::1", true},
		{"[::1]", "::1", true},
		{"sink.corp.example", "169.254.169.254", false},
		{"169.254.169.254", "169.254.169.254", false},
		{"[::ffff:169.254.169.254]", "::ffff:169.254.169.254", false},
		{"[fd00:ec2::254]", "fd00:ec2::254", false},
		{"sink.corp.example", "169.254.7.7", false},
		{"sink.corp.example", "fe80::1", false},
	} {
		var mutex sync.Mutex
		var dialled []string
		s := run(t, Options{
			URL: "https://" + test.host + "/", Resolver: fixed(test.addr),
			Dial: func(_ context.Context, _, address string) (net.Conn, error) {
				mutex.Lock()
				defer mutex.Unlock()
				dialled = append(dialled, address)
				return nil, errors.New("not dialled in a test")
			},
		})
		s.Send(example)
		s.wait(t, 1)
		if got := len(dialled) > 0; got != test.want || s.outcome(failed) != 1 {
			t.Errorf("%s at %s: got %v dialled, want any: %t", test.host, test.addr, dialled, test.want)
		}
		if refused := strings.Contains(s.log.String(), "outside what may be dialled"); refused == test.want {
			t.Errorf("%s at %s: got log %s", test.host, test.addr, s.log)
		}
	}
}

// fixed resolves every name to one address.
type fixed string

func (f fixed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(string(f))}, nil
}

func TestOptions(t *testing.T) {
	token := file(t, "token", []byte("Bearer abc"))
	empty := file(t, "empty", nil)
	lines := file(t, "lines", []byte("Bearer abc\nHost: evil.example"))
	for _, test := range []struct {
		name string
		o    Options
		want string
	}{
		{"fine", Options{URL: "https://sink.example/x", Source: "/a", AuthorizationFile: token}, ""},
		{"in the cluster", Options{URL: "http://broker.events.svc/shop", Source: "/a"}, ""},
		{"no URL", Options{URL: "sink", Source: "/a"}, "reading the address of the sink: want https://HOST/PATH"},
		{"another scheme", Options{URL: "file:///etc/passwd", Source: "/a"}, "reading the address of the sink: want https://HOST/PATH"},
		{"bytes", Options{URL: "https://a\x01b/", Source: "/a"}, "reading the address of the sink: net/url: invalid control character in URL"},
		{"a password", Options{URL: "https://me:pw@sink.example", Source: "/a"}, "reading the address of the sink: it has a user; write credentials into a file, for the header Authorization"},
		{
			"a token for everybody",
			Options{URL: "http://sink.example", Source: "/a", AuthorizationFile: token},
			"reading the address of the sink: it begins with http:, by which everybody on the way would read the Authorization; want https",
		},
		{"no source", Options{URL: "https://sink.example"}, `reading the source of events "": want a URI reference, such as //cluster.example.com/production`},
		{"no file", Options{URL: "https://sink.example", Source: "/a", CAFile: "/none"}, "reading the authority of the sink: open /none: no such file or directory"},
		{"no certificate", Options{URL: "https://sink.example", Source: "/a", CAFile: empty}, fmt.Sprintf("reading the authority of the sink: %q has no certificate in PEM", empty)},
		{
			"no token",
			Options{URL: "https://sink.example", Source: "/a", AuthorizationFile: empty},
			fmt.Sprintf("reading the authorization for the sink: %q has no value of a header: want one line, such as Bearer TOKEN", empty),
		},
		{
			"two headers",
			Options{URL: "https://sink.example", Source: "/a", AuthorizationFile: lines},
			fmt.Sprintf("reading the authorization for the sink: %q has no value of a header: want one line, such as Bearer TOKEN", lines),
		},
	} {
		test.o.Registry, test.o.Log = prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
		_, err := New(test.o)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// TestNoSink holds that nobody has to ask whether there is one.
func TestNoSink(t *testing.T) {
	var s *Sink
	s.Send(example)
}

package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ServeOptions say how `portcullis serve` is started.
type ServeOptions struct {
	// Registries is the content of the file of --registries. Empty: no file.
	Registries string
	// Proxy stands before the API server. Nil: none does.
	Proxy *Proxy
	// Wire stands there in the place of a Proxy.
	Wire *Wire
	// SelfSigned lets Portcullis make its certificate, for localhost.
	SelfSigned bool
	// Args are further flags.
	Args []string
}

// Server is a running `portcullis serve`.
type Server struct {
	// Endpoint is where it answers reviews.
	Endpoint
	// CertDir has its certificate.
	CertDir string

	health, metrics string // host:port
	process         *process
}

// startupTimeout is generous: the machine may be busy with other packages.
const startupTimeout = 60 * time.Second

// Serve starts `portcullis serve` with the rights of its service account and
// waits until it is ready.
func (c *Cluster) Serve(ctx context.Context, o ServeOptions) (*Server, error) {
	s, err := c.StartServer(o)
	if err != nil {
		return nil, err
	}
	if err := s.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// StartServer starts `portcullis serve` and does not wait. It is stopped with the
// cluster, if not before.
func (c *Cluster) StartServer(o ServeOptions) (*Server, error) {
	dir, err := os.MkdirTemp(c.dir, "serve-")
	if err != nil {
		return nil, fmt.Errorf("starting portcullis serve: %w", err)
	}
	ports := make([]string, 3)
	for i := range ports {
		if ports[i], err = c.Ports.Next(); err != nil {
			return nil, fmt.Errorf("starting portcullis serve: %w", err)
		}
	}
	s := &Server{
		CertDir:  filepath.Join(dir, "certs"),
		Endpoint: Endpoint{URL: "https://127.0.0.1:" + ports[0], CA: c.Authority.PEM},
		health:   "127.0.0.1:" + ports[1],
		metrics:  "127.0.0.1:" + ports[2],
	}
	if err := os.Mkdir(s.CertDir, 0o700); err != nil {
		return nil, fmt.Errorf("starting portcullis serve: %w", err)
	}
	target := c.apiServer()
	switch {
	case o.Proxy != nil:
		target = o.Proxy.endpoint()
	case o.Wire != nil:
		target.URL = o.Wire.URL
	}
	kubeconfig, err := c.serviceAccountConfig(dir, target)
	if err != nil {
		return nil, err
	}
	args := []string{
		"serve", "--kubeconfig=" + kubeconfig, "--cert-dir=" + s.CertDir, "--log-level=debug",
		"--address=127.0.0.1:" + ports[0], "--health-address=" + s.health, "--metrics-address=" + s.metrics,
		"--shutdown-delay=0s", "--audit-address=0", "--audit-interval=0", // whose questions to registries a test would take for its own
	}
	if o.SelfSigned {
		s.Endpoint = Endpoint{URL: "https://localhost:" + ports[0]}
		args = append(args, "--self-signed", "--dns-names=localhost")
	} else if _, err := c.Authority.Issue(s.CertDir); err != nil {
		return nil, err
	}
	if o.Registries != "" {
		file := filepath.Join(dir, "registries.yaml")
		if err := os.WriteFile(file, []byte(o.Registries), 0o600); err != nil {
			return nil, fmt.Errorf("writing the registry configuration: %w", err)
		}
		args = append(args, "--registries="+file)
	}
	if s.process, err = startProcess(c.Binary, append(args, o.Args...)...); err != nil {
		return nil, err
	}
	c.keep(s)
	return s, nil
}

// WaitReady waits until /readyz says so.
func (s *Server) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startupTimeout)
	defer cancel()
	for {
		if status, _ := s.Ready(); status == http.StatusOK {
			return nil
		}
		select {
		case <-s.process.ended:
			return fmt.Errorf("portcullis serve ended: %w\n%s", orEnded(s.process.err), s.Log())
		case <-ctx.Done():
			_, answer := s.Ready()
			return fmt.Errorf("portcullis serve is not ready: %w\n%s\n%s", ctx.Err(), answer, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ready is the status and text of /readyz; the status is 0 without an answer.
func (s *Server) Ready() (int, string) {
	return get("http://" + s.health + "/readyz?verbose")
}

// Metric is the value of a metric, written as the exposition format does:
// portcullis_policies, or name{label="value"}.
func (s *Server) Metric(name string) (float64, error) {
	text, err := s.Metrics()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil // a counter appears with its first event
}

// Metrics are all metrics in the exposition format.
func (s *Server) Metrics() (string, error) {
	status, text := get("http://" + s.metrics + "/metrics")
	if status != http.StatusOK {
		return "", fmt.Errorf("reading the metrics: status %d: %s", status, text)
	}
	return text, nil
}

func get(url string) (int, string) {
	response, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// HTTPClient speaks HTTP/1.1 to the webhook, as the API server does to one behind
// a Service (k8s.io/apiserver/pkg/util/webhook/client.go).
func (s *Server) HTTPClient() (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CA) {
		return nil, errors.New("reading the authority of the webhook: no certificate")
	}
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: false},
	}, nil
}

// Post sends a body to a path of the webhook, as the API server would.
func (s *Server) Post(ctx context.Context, path, contentType string, body []byte) (*http.Response, error) {
	client, err := s.HTTPClient()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Close = true
	return client.Do(request)
}

// Terminate sends SIGTERM and does not wait.
func (s *Server) Terminate() error { return s.process.signal(syscall.SIGTERM) }

// Wait returns how the server ended.
func (s *Server) Wait(timeout time.Duration) error { return s.process.wait(timeout) }

// Stop ends the server. One that has ended after Terminate is fine.
func (s *Server) Stop() error {
	select {
	case <-s.process.ended:
		return s.process.err
	default:
		return s.process.stop(30 * time.Second)
	}
}

// Log is what the server has written so far.
func (s *Server) Log() string { return s.process.log.String() }

package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// Proxy stands between a server and the API server, and can make the API server
// look slow or broken.
type Proxy struct {
	server *httptest.Server
	mu     sync.Mutex
	thaw   chan struct{} // closed unless watches are frozen
	broken string        // part of the paths that fail
}

// NewProxy starts a proxy that passes everything on.
func NewProxy(config *rest.Config) (*Proxy, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config)) // callers bring their own token
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	p := &Proxy{thaw: make(chan struct{})}
	close(p.thaw)
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") != "" {
				r.Body = &frozenBody{ReadCloser: r.Body, proxy: p, done: r.Request.Context()}
			}
			return nil
		},
	}
	// With TLS: clients send no token without.
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken := p.breaks(); broken != "" && strings.Contains(r.URL.Path, broken) {
			http.Error(w, "broken by the test", http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return p, nil
}

// endpoint is where it listens.
func (p *Proxy) endpoint() Endpoint {
	return Endpoint{URL: p.server.URL, CA: block("CERTIFICATE", p.server.Certificate().Raw)}
}

// Freeze holds back what watches tell from now on.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaw = make(chan struct{})
}

// Break makes requests fail whose path contains part; the empty part ends it.
func (p *Proxy) Break(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = part
}

func (p *Proxy) breaks() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

func (p *Proxy) frozen() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thaw
}

// Close drops all connections.
func (p *Proxy) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// frozenBody is the stream of a watch.
type frozenBody struct {
	io.ReadCloser
	proxy *Proxy
	done  context.Context
}

func (b *frozenBody) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	select {
	case <-b.proxy.frozen():
	case <-b.done.Done():
	}
	return n, err
}

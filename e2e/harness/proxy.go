package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Proxy stands between a server and the API server, and can make the API server
// look slow or broken.
type Proxy struct {
	server *httptest.Server
	mu     sync.Mutex
	thaw   chan struct{} // closed unless watches are frozen
	broken string        // part of the paths that fail
	before func(*http.Request)
	hidden string // API group that is said not to exist
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
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if p.hides() != "" && r.In.URL.Path == groupsPath {
				r.Out.Header.Set("Accept", "application/json") // not the aggregated form, nor compressed
				r.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if hidden := p.hides(); hidden != "" && r.Request.URL.Path == groupsPath {
				return withoutGroup(r, hidden)
			}
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
		if hidden := p.hides(); hidden != "" && strings.HasPrefix(r.URL.Path, groupsPath+"/"+hidden) {
			http.NotFound(w, r)
			return
		}
		if before := p.watcher(); before != nil {
			before(r)
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

// Before has a function called before each request is passed on, which waits for it;
// nil ends that.
func (p *Proxy) Before(before func(*http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = before
}

func (p *Proxy) watcher() func(*http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before
}

// Hide makes the API server look like one that does not know an API group.
func (p *Proxy) Hide(group string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden = group
}

func (p *Proxy) hides() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hidden
}

// groupsPath is where an API server lists its groups.
const groupsPath = "/apis"

// withoutGroup leaves a group out of the list of groups.
func withoutGroup(r *http.Response, group string) error {
	defer r.Body.Close()
	var list metav1.APIGroupList
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		return fmt.Errorf("reading the list of API groups: %w", err)
	}
	list.Groups = slices.DeleteFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == group })
	data, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("writing the list of API groups: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	r.Header.Set("Content-Length", strconv.Itoa(len(data)))
	return nil
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

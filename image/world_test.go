package image

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// world is a network of misbehaving registries: names resolve to public addresses, and what is dialled there ends in servers on
// loopback. Nothing else is ever dialled, only recorded.
type world struct {
	t   testing.TB
	row *row
	mu  sync.Mutex

	names   map[string][]netip.Addr // by host
	servers map[string]*fake        // by address and port
	dialled []string
	offset  time.Duration // of the clock
	start   time.Time
}

func newWorld(t testing.TB) *world {
	return &world{t: t, row: record(t), names: map[string][]netip.Addr{}, servers: map[string]*fake{}, start: time.Now()}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.start.Add(w.offset)
}

// pass moves the clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += d
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addrs, ok := w.names[host]; ok {
		return append([]netip.Addr(nil), addrs...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	server := w.servers[address]
	w.mu.Unlock()
	if server == nil {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", server.Listener.Addr().String())
}

// registries is the product, in this world.
func (w *world) registries(cfg Config, change ...func(*Options)) *Registries {
	opts := Options{Resolver: w, Dial: w.dial, Now: w.now, TLS: &tls.Config{InsecureSkipVerify: true}}
	for _, c := range change {
		c(&opts)
	}
	r := New(cfg, opts)
	w.t.Cleanup(r.client.transport.(*http.Transport).CloseIdleConnections)
	return r
}

// request is one line of a registry's log.
type request struct{ Method, URI, Authorization string }

// fault answers a request itself, or reports false for the registry to do it.
type fault func(http.ResponseWriter, *http.Request) bool

// fake is an in-memory registry that misbehaves as told.
type fake struct {
	*httptest.Server
	inner  http.Handler
	row    *row
	mu     sync.Mutex
	log    []request
	faults []fault
}

// registry starts a registry for host, over https unless the host ends in :80 or is told otherwise by plain.
func (w *world) registry(host string) *fake { return w.serve(host, false) }

func (w *world) serve(host string, plain bool) *fake {
	f := &fake{row: w.row, inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, "443"
	}
	if plain {
		f.Start()
	} else {
		f.EnableHTTP2 = true
		f.StartTLS()
	}
	w.t.Cleanup(f.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	addr := netip.AddrFrom4([4]byte{93, 184, 216, byte(len(w.names) + 1)})
	if literal, err := netip.ParseAddr(name); err == nil {
		addr = literal
	} else if len(w.names[name]) > 0 {
		addr = w.names[name][0]
	} else {
		w.names[name] = []netip.Addr{addr}
	}
	w.servers[net.JoinHostPort(addr.String(), port)] = f
	return f
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	f.row.requests.Add(1)
	f.mu.Lock()
	f.log = append(f.log, request{req.Method, req.RequestURI, req.Header.Get("Authorization")})
	faults := f.faults
	f.mu.Unlock()
	for _, fault := range faults {
		if fault(rw, req) {
			return
		}
	}
	f.inner.ServeHTTP(rw, req)
}

// script replaces the faults.
func (f *fake) script(faults ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// requests is the log, and forgets it.
func (f *fake) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.log
	f.log = nil
	return seen
}

// waiting is how many lines the log has.
func (f *fake) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.log)
}

// put stores content without going through the network or the log.
func (f *fake) put(method, path, contentType string, body []byte) {
	req := httptest.NewRequest(method, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	rec := httptest.NewRecorder()
	f.inner.ServeHTTP(rec, req)
	if rec.Code >= 300 {
		panic(fmt.Sprintf("%s %s: %d %s", method, path, rec.Code, rec.Body))
	}
}

func (f *fake) blob(repo string, body []byte) map[string]any {
	digest := digestOf(body)
	f.put(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digest, "application/octet-stream", body)
	return map[string]any{"digest": digest, "size": len(body)}
}

// manifest stores doc under tag and its digest, which it returns as a descriptor.
func (f *fake) manifest(repo, tag string, doc map[string]any) map[string]any {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	kind, _ := doc["mediaType"].(string)
	f.put(http.MethodPut, "/v2/"+repo+"/manifests/"+digestOf(body), kind, body)
	if tag != "" {
		f.put(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, kind, body)
	}
	return map[string]any{"mediaType": kind, "digest": digestOf(body), "size": len(body)}
}

// built is an image to be: a configuration and layers.
type built struct {
	os, arch string // default linux/amd64
	config   map[string]any
	layers   [][]byte
	kind     types.MediaType // of the layers; default gzip
}

func (f *fake) image(repo, tag string, b built) map[string]any {
	if b.os == "" {
		b.os, b.arch = "linux", "amd64"
	}
	if b.kind == "" {
		b.kind = types.OCILayer
	}
	config, err := json.Marshal(map[string]any{"os": b.os, "architecture": b.arch, "config": b.config})
	if err != nil {
		panic(err)
	}
	descriptor := f.blob(repo, config)
	descriptor["mediaType"] = types.OCIConfigJSON
	layers := []map[string]any{}
	for _, l := range b.layers {
		d := f.blob(repo, l)
		d["mediaType"] = b.kind
		layers = append(layers, d)
	}
	d := f.manifest(repo, tag, map[string]any{
		"schemaVersion": 2, "mediaType": string(types.OCIManifestSchema1), "config": descriptor, "layers": layers,
	})
	d["platform"] = map[string]any{"os": b.os, "architecture": b.arch}
	return d
}

func (f *fake) index(repo, tag string, manifests ...map[string]any) string {
	d := f.manifest(repo, tag, map[string]any{"schemaVersion": 2, "mediaType": string(types.OCIImageIndex), "manifests": manifests})
	return d["digest"].(string)
}

// user is an image with that USER.
func (f *fake) user(repo, tag, user string) string {
	return f.image(repo, tag, built{config: map[string]any{"User": user}})["digest"].(string)
}

// Faults.

// Shorthands of the tests.

func (w *world) gather(r *Registries, needs ...Need) Facts {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return r.Gather(ctx, needs, Credentials{})
}

// reasonOf is the reason of an error of this package, or its text.
func reasonOf(err error) Reason {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	}
	return Reason(err.Error())
}

func digestNeed(image string) Need { return Need{Image: image, Digest: true} }
func configNeed(image string) Need { return Need{Image: image, Digest: true, Config: true} }
func uidNeed(image string) Need    { return Need{Image: image, UID: true} }

// blackhole dials as the world does, but never gets an answer from address.
func (w *world) blackhole(address string) DialFunc {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == address {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return w.dial(ctx, network, to)
	}
}

// keychain is a fake of ambient credentials, by the host as keychains name it.
type keychain map[string]authn.AuthConfig

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if auth, ok := k[r.RegistryStr()]; ok {
		return authn.FromConfig(auth), nil
	}
	return authn.Anonymous, nil
}

// hanging is a keychain that answers when it is closed.
type hanging chan struct{}

func (h hanging) Resolve(authn.Resource) (authn.Authenticator, error) {
	<-h
	return authn.Anonymous, nil
}

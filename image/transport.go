package image

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 64 << 10
	maxRequests    = 8 // in flight to one registry
	userAgent      = "portcullis"
)

// newTransport is the connection pool under everything: it dials through d and bounds what can hang. There is no proxy: behind one
// the addresses that are really dialled could not be judged.
func newTransport(cfg *Config, d *dialer, tlsConfig *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:            d.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    cfg.Timeout,
		ResponseHeaderTimeout:  cfg.Timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    maxRequests,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // digests are of the bytes as sent
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// host is what is shared by all requests to one registry: so much of it at once, and a pause when it fails.
type host struct {
	breaker breaker
	slots   *semaphore.Weighted // requests
	small   *semaphore.Weighted // images being read
	large   *semaphore.Weighted // the same, of large ones
	layers  *semaphore.Weighted // being searched
}

func newHost() *host {
	return &host{
		slots:  semaphore.NewWeighted(maxRequests),
		small:  semaphore.NewWeighted(maxSmallRead),
		large:  semaphore.NewWeighted(1),
		layers: semaphore.NewWeighted(maxHostLayers),
	}
}

// exchange sends req to h, following up to redirects of them; timeout is from waiting for a slot, which is held until the body of
// the answer is closed, to the last byte. An error is a *failure; every status is an answer, except 503.
func (c *client) exchange(h *host, req *http.Request, redirects int, timeout time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), timeout)
	if err := h.slots.Acquire(ctx, 1); err != nil {
		cancel()
		return nil, &failure{reason: Timeout, err: err}
	}
	release := func() { h.slots.Release(1); cancel() }
	if !h.breaker.allow(c.now()) { // asked only now: while this request waited, others may have found out
		release()
		return nil, &failure{reason: Unavailable}
	}
	resp, err := c.follow(req.WithContext(ctx), redirects)
	switch {
	case err == nil && resp.StatusCode == http.StatusServiceUnavailable:
		h.breaker.pause(c.now(), retryAfter(resp.Header, c.now()))
		resp.Body.Close()
		err = &failure{reason: Unavailable}
	case err == nil:
		h.breaker.succeed()
	case asFailure(err).reason == RefusedAddress, errors.Is(req.Context().Err(), context.Canceled):
		h.breaker.abandon()
	default:
		h.breaker.fail(c.now())
	}
	if err != nil {
		release()
		return nil, asFailure(err)
	}
	resp.Body = &heldBody{ReadCloser: resp.Body, release: sync.OnceFunc(release)}
	return resp, nil
}

// heldBody gives its slot back when it is closed.
type heldBody struct {
	io.ReadCloser
	release func()
}

func (b *heldBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// follow sends req and up to redirects more. Every hop goes through the same dialer; the Authorization goes no further than the
// host it was made for and does not come back if a later hop returns there.
func (c *client) follow(req *http.Request, redirects int) (*http.Response, error) {
	for ; ; redirects-- {
		resp, err := c.transport.RoundTrip(req)
		if err != nil {
			return nil, unreachable(err)
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		resp.Body.Close()
		next, err := req.URL.Parse(resp.Header.Get("Location"))
		if err != nil || redirects == 0 || !c.schemeAllowed(next) || next.User != nil {
			return nil, &failure{reason: Misbehaving, detail: "cannot be looked up: registry HOST redirects too often, or not to https"}
		}
		req = redirected(req, next)
	}
}

func redirected(req *http.Request, next *url.URL) *http.Request {
	hop := req.Clone(req.Context())
	hop.Host = ""
	hop.URL = next
	if next.Host != req.URL.Host || next.Scheme != req.URL.Scheme {
		hop.Header.Del("Authorization")
	}
	return hop
}

// schemeAllowed reports whether u is https, or http to a host that is listed insecure.
func (c *client) schemeAllowed(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && c.config.insecure(CanonicalRegistry(u.Host)))
}

// unreachable names a failure of the connection itself.
func unreachable(err error) *failure {
	if f := asFailure(err); f.reason != Misbehaving {
		return f
	}
	f := &failure{reason: Unreachable, err: err}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		f.detail = "cannot be looked up: the certificate of registry HOST is not trusted"
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		f.detail = "cannot be looked up: registry HOST speaks plain http; the cluster admin can list it under insecure in the RegistryConfig"
	}
	return f
}

// newRequest is a request without credentials.
func newRequest(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, &failure{reason: Misbehaving, err: err}
	}
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/semaphore"
)

const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
)

// client speaks the distribution protocol, of which it needs three requests: HEAD and GET of a manifest, GET of a blob.
type client struct {
	config    *Config
	transport http.RoundTripper
	now       func() time.Time
	ambient   authn.Keychain
	metrics   *metrics
	hosts     *lru[string, *host]
	sessions  *lru[sessionKey, *session]
	headers   *lru[headerKey, header]
	bytes     *semaphore.Weighted // of small images, in memory
	large     *semaphore.Weighted // images, being read
}

// place is where one reference may be asked for, and as whom.
type place struct {
	sources []source
	keys    *keyring
}

// object is what is asked for: a manifest by tag or digest, or a blob by digest.
type object struct {
	method  string
	kind    string // manifests or blobs: as in the URL
	name    string // tag or digest
	size    int64  // the most bytes it may have
	timeout time.Duration
}

func (c *client) manifest(name string, size int64) object {
	return object{http.MethodGet, "manifests", name, size, c.config.Timeout}
}

func (c *client) blob(digest string, size int64) object {
	return object{http.MethodGet, "blobs", digest, size, c.config.Timeout}
}

// baseURL is the scheme and host of a registry. Docker Hub's API is not at the host that names it.
func (c *client) baseURL(host string) string {
	switch {
	case host == dockerHub:
		return "https://registry-1.docker.io"
	case c.config.insecure(host):
		return "http://" + host
	}
	return "https://" + host
}

// each asks the sources of p until one answers. What the bytes of an image decide, they decide wherever they come from.
func (p place) each(ctx context.Context, ask func(source) error) (err error) {
	for _, src := range p.sources {
		if err = ask(src); err == nil || asFailure(err).settled() || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// open asks src for o with each credential that is meant for it, and then with the ambient one; only a refusal moves on. The
// answer has status 200; its body is the caller's to close.
func (c *client) open(ctx context.Context, src source, keys *keyring, o object) (*http.Response, error) {
	for _, cred := range keys.candidates(src) {
		resp, err := c.session(src.host, cred).do(ctx, src, o)
		if err == nil || asFailure(err).reason != Unauthorized {
			return resp, err
		}
	}
	return c.session(src.host, nil).do(ctx, src, o)
}

// head asks what digest a tag has. It is empty when the registry did not say: some leave it out, some know no HEAD.
func (c *client) head(ctx context.Context, p place, tag string) (digest string, err error) {
	defer c.metrics.request("head", c.now(), &err)
	o := c.manifest(tag, maxManifest)
	o.method = http.MethodHead
	err = p.each(ctx, func(src source) error {
		resp, err := c.open(ctx, src, p.keys, o)
		if errors.Is(err, statusError(http.StatusMethodNotAllowed)) || errors.Is(err, statusError(http.StatusNotImplemented)) {
			return nil
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		kind := types.MediaType(resp.Header.Get("Content-Type"))
		if kind.IsSchema1() {
			return errSchema1()
		}
		if said := resp.Header.Get("Docker-Content-Digest"); validDigest(said) && (kind.IsImage() || kind.IsIndex()) {
			digest = said
		}
		return nil
	})
	return digest, err
}

// reader reads the manifests and configurations of one image.
type reader struct {
	client *client
	place  place
	memory *memory
}

// fetch reads o whole, checks that it has the digest it was asked by, and gives it to use.
func (rd *reader) fetch(ctx context.Context, o object, use func([]byte) error) (err error) {
	defer rd.client.metrics.request(o.kind, rd.client.now(), &err)
	return rd.place.each(ctx, func(src source) error {
		resp, err := rd.client.open(ctx, src, rd.place.keys, o)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.ContentLength > o.size {
			return &failure{reason: TooLarge}
		}
		body, err := rd.memory.read(resp.Body, o.size)
		if err != nil {
			return err
		}
		if strings.HasPrefix(o.name, "sha256:") && digestOf(body) != o.name {
			return &failure{reason: DigestMismatch}
		}
		return use(body)
	})
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// statusError is a status that is no answer.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

// status turns an answer that is not 200 into its failure, and closes it.
func status(resp *http.Response, now time.Time) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	resp.Body.Close()
	f := &failure{reason: Misbehaving, err: statusError(resp.StatusCode)}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.reason = Unauthorized
	case http.StatusNotFound:
		f.reason = NotFound
	case http.StatusTooManyRequests:
		f.reason, f.retryAfter = RateLimited, retryAfter(resp.Header, now)
	}
	return f
}

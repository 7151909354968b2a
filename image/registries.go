package image

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// What is kept in memory: counted where an entry has a bounded size, and in bytes where an image, a secret or a registry decides it.
const (
	namesKept     = 4096
	tagsKept      = 8192
	briefBytes    = 4 << 20
	hostsKept     = 1024
	sessionsKept  = 1024
	headerBytes   = 4 << 20
	keyringBytes  = 8 << 20
	contentsBytes = 24 << 20
)

const (
	flightTimeout = 30 * time.Second // one question, over all its requests
	negativeTTL   = 2 * time.Second  // a failure: long enough for a herd, short enough for a fix
)

// Options are the dependencies of Registries. The zero value is the network, without credentials and metrics.
type Options struct {
	Resolver Resolver              // default: net.DefaultResolver
	Dial     DialFunc              // default: a net.Dialer
	TLS      *tls.Config           // default: the system's roots
	Now      func() time.Time      // default: time.Now
	Keychain authn.Keychain        // ambient credentials, see AmbientKeychain; default: none
	Secrets  PullSecretReader      // default: pull secrets are not read
	Metrics  prometheus.Registerer // default: not registered; with it, New panics when called twice
}

// Registries answers what a review needs to know about images, from memory where it can. It is safe for concurrent use.
type Registries struct {
	config  Config
	client  *client
	secrets PullSecretReader
	metrics *metrics
	now     func() time.Time
	flights singleflight.Group
	layers  *semaphore.Weighted // being searched

	names    *lru[string, *parsed]
	keyrings *lru[string, keptKeyring]
	tags     *lru[tagKey, *tagAnswer]
	contents *lru[contentsKey, *contents]
	brief    *lru[briefKey, briefAnswer]
}

// parsed is a reference and where it is asked for; there are few of them, in every review.
type parsed struct {
	ref     Reference
	sources []source
	err     error
}

// New makes Registries. cfg is what LoadConfig returned, or the zero Config.
func New(cfg Config, opts Options) *Registries {
	r := &Registries{
		config:   cfg.withDefaults(),
		secrets:  opts.Secrets,
		now:      opts.Now,
		layers:   semaphore.NewWeighted(maxLayers),
		names:    newLRU[string, *parsed](namesKept),
		keyrings: newLRU[string, keptKeyring](keyringBytes),
		tags:     newLRU[tagKey, *tagAnswer](tagsKept),
		contents: newLRU[contentsKey, *contents](contentsBytes),
		brief:    newLRU[briefKey, briefAnswer](briefBytes),
	}
	if r.now == nil {
		r.now = time.Now
	}
	d := &dialer{policy: newAddressPolicy(&r.config), resolver: opts.Resolver, dial: opts.Dial, timeout: r.config.Timeout}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.dial == nil {
		d.dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	r.metrics = newMetrics(opts.Metrics, r.now)
	r.client = &client{
		config:    &r.config,
		transport: newTransport(&r.config, d, opts.TLS),
		now:       r.now,
		ambient:   opts.Keychain,
		metrics:   r.metrics,
		hosts:     newLRU[string, *host](hostsKept),
		sessions:  newLRU[sessionKey, *session](sessionsKept),
		headers:   newLRU[headerKey, header](headerBytes),
		bytes:     semaphore.NewWeighted(smallBytes),
		large:     semaphore.NewWeighted(maxLargeRead),
	}
	r.gauges(opts.Metrics)
	return r
}

// Gather answers needs for who: all in parallel, returning at the latest when ctx ends, with what is known then. Needs for the same
// image are answered together. Beyond 64 distinct images the rest is not looked up and says so.
func (r *Registries) Gather(ctx context.Context, needs []Need, who Credentials) Facts {
	facts := make(Facts, len(needs))
	distinct := make([]Need, 0, min(len(needs), maxImages))
	for _, n := range needs {
		i := slices.IndexFunc(distinct, func(d Need) bool { return d.Image == n.Image })
		switch {
		case i >= 0:
			distinct[i] = distinct[i].and(n)
		case len(distinct) < maxImages:
			distinct = append(distinct, n)
		default:
			facts[n.Image] = Fact{Image: n.Image, Err: &Error{Reason: TooManyImages, Image: n.Image}}
		}
	}
	keys := r.keyring(ctx, who)
	var cold []question
	for _, n := range distinct {
		q := r.question(n, keys)
		if fact, ok := r.known(q); ok {
			facts[n.Image] = fact
			continue
		}
		cold = append(cold, q)
	}
	if len(cold) > 0 {
		r.askAll(ctx, cold, facts)
	}
	return facts
}

// askAll asks registries one question or more, at the same time, and writes what they answer into facts.
func (r *Registries) askAll(ctx context.Context, questions []question, facts Facts) {
	answers := make([]Fact, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions[1:] {
		wg.Go(func() { answers[i+1] = r.guardedAsk(ctx, q) })
	}
	answers[0] = r.guardedAsk(ctx, questions[0]) // most reviews have one: no goroutine more while it waits
	wg.Wait()
	for _, fact := range answers {
		facts[fact.Image] = fact
	}
}

// guardedAsk is ask; a panic in it is the failure of that image.
func (r *Registries) guardedAsk(ctx context.Context, q question) (fact Fact) {
	err := guard(func() error {
		fact = r.ask(ctx, q)
		return nil
	})
	if err != nil {
		fact = Fact{Image: q.need.Image, Reference: q.ref, Err: asFailure(err).about(q.ref)}
		return r.metrics.answered(fact, r.metrics.asked)
	}
	return fact
}

// Warm asks for needs ahead of time, a few at once, until all are answered or ctx ends: after a start, for what the cluster runs.
func (r *Registries) Warm(ctx context.Context, needs []Need, who Credentials) {
	for few := range slices.Chunk(needs, 8) {
		if ctx.Err() != nil {
			return
		}
		r.Gather(ctx, few, who)
	}
}

// fly runs fn once for all who ask for key at the same time. It runs in nobody's name: when the first who asked gives up, the
// others still get the answer. Who gives up gets the failure Timeout.
func fly[V any](ctx context.Context, group *singleflight.Group, key string, fn func(context.Context) (V, error)) (V, error) {
	flight := group.DoChan(key, func() (any, error) {
		var value V
		err := guard(func() (err error) {
			detached, cancel := context.WithTimeout(context.Background(), flightTimeout)
			defer cancel()
			value, err = fn(detached)
			return err
		})
		return value, err
	})
	select {
	case result := <-flight:
		return result.Val.(V), result.Err
	case <-ctx.Done():
		return *new(V), &failure{reason: Timeout, err: ctx.Err()}
	}
}

// guard turns a panic in a goroutine of ours, which would end the process, into a failure of the one question.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &failure{reason: Misbehaving, err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return fn()
}

package image

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// tagKey is whose question about which tag: an answer got with a credential is for those who have it.
type tagKey struct{ name, tag, identity string }

// tagAnswer is what is remembered about a tag. It is not modified.
type tagAnswer struct {
	digest  string    // the last that the registry gave; empty for none
	at      time.Time // when it did
	refresh time.Time // from when on a question also asks again, in the background
	expires time.Time // until when digest is believed without asking

	failure *failure  // of the last attempt; nil when it succeeded
	retry   time.Time // when the next attempt may be made after a failure
}

// resolution is a digest or a failure.
type resolution struct {
	digest  string
	stale   time.Duration
	failure *failure
}

// into writes the resolution into fact, and reports whether there is a digest.
func (v resolution) into(fact *Fact) bool {
	fact.Digest, fact.Stale = v.digest, v.stale
	if v.failure != nil {
		fact.Err = v.failure.about(fact.Reference)
	}
	return v.failure == nil
}

// orStale is the resolution when the registry fails with f: the last digest, if it is not too old and f decides nothing.
func (a *tagAnswer) orStale(f *failure, now time.Time, most time.Duration) resolution {
	if a != nil && a.digest != "" && f.reason.Outage() && now.Sub(a.at) <= most {
		return resolution{digest: a.digest, stale: now.Sub(a.at)}
	}
	return resolution{failure: f}
}

func (q question) tagKey() tagKey { return tagKey{q.ref.Name(), q.ref.Tag(), q.identity} }

// knownTag is the resolution from memory. A digest that is used near its end is refreshed in the background, so that a busy tag
// never makes a review wait.
func (r *Registries) knownTag(q question) (resolution, bool) {
	a, ok := r.tags.get(q.tagKey())
	if !ok {
		return resolution{}, false
	}
	now := r.now()
	if a.digest != "" && now.Before(a.expires) && a.at.After(q.since) {
		if !now.Before(a.refresh) && !now.Before(a.retry) {
			r.launch(q)
		}
		return resolution{digest: a.digest}, true
	}
	if a.failure != nil && now.Before(a.retry) {
		return a.orStale(a.failure, now, r.config.MaxStale), true
	}
	return resolution{}, false
}

// askTag waits for the registry, until ctx ends.
func (r *Registries) askTag(ctx context.Context, q question) resolution {
	if known, ok := r.knownTag(q); ok { // by now
		return known
	}
	a, err := r.resolve(ctx, q)
	if err != nil {
		last, _ := r.tags.get(q.tagKey())
		return last.orStale(asFailure(err), r.now(), r.config.MaxStale)
	}
	if a.failure != nil {
		return a.orStale(a.failure, r.now(), r.config.MaxStale)
	}
	return resolution{digest: a.digest}
}

// launch refreshes in the background.
func (r *Registries) launch(q question) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, _ = r.resolve(gone, q) // starts, and does not wait
}

// resolve asks the registry and remembers its answer, once for all who wait for it.
func (r *Registries) resolve(ctx context.Context, q question) (*tagAnswer, error) {
	key := q.tagKey()
	flight := strings.Join([]string{"tag", key.name, key.tag, key.identity}, " ")
	return fly(ctx, &r.flights, flight, func(ctx context.Context) (*tagAnswer, error) {
		last, _ := r.tags.get(key)
		now := r.now()
		if last != nil && (now.Before(last.refresh) && last.at.After(q.since) || now.Before(last.retry)) {
			return last, nil // another flight has just landed
		}
		digest, err := r.digest(ctx, q)
		a := r.remember(last, digest, err)
		r.tags.put(key, a, 1)
		return a, nil
	})
}

// remember is the answer to keep after an attempt. A failure that decides nothing leaves the last digest in place.
func (r *Registries) remember(last *tagAnswer, digest string, err error) *tagAnswer {
	now := r.now()
	if err == nil {
		ttl := r.config.TagTTL * time.Duration(90+rand.IntN(21)) / 100
		return &tagAnswer{digest: digest, at: now, refresh: now.Add(ttl * 3 / 4), expires: now.Add(ttl)}
	}
	a := &tagAnswer{failure: asFailure(err), retry: now.Add(negativeTTL)}
	if last != nil && a.failure.reason.Outage() {
		a.digest, a.at, a.refresh, a.expires = last.digest, last.at, last.refresh, last.expires
	}
	return a
}

// digest is one HEAD. Only where the registry does not say the digest, the manifest is read and hashed.
func (r *Registries) digest(ctx context.Context, q question) (string, error) {
	digest, err := r.client.head(ctx, q.place, q.ref.Tag())
	if err != nil || digest != "" {
		return digest, err
	}
	err = r.client.reserve(ctx, q.ref.Registry(), func(m *memory) error {
		rd := &reader{r.client, q.place, m}
		return rd.fetch(ctx, r.client.manifest(q.ref.Tag(), maxManifest), func(body []byte) error {
			digest = digestOf(body)
			_, err := parseDocument(body)
			return err
		})
	})
	return digest, err
}

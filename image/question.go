package image

import (
	"context"
	"time"
)

// question is one need, with its names read and its answers' owner known.
type question struct {
	need     Need
	ref      Reference
	place    place
	identity string    // of the credentials that the answers are for
	err      error     // of the reference
	since    time.Time // answers about the tag from then or before are too old
}

// freshEnough is the age below which an answer about a tag is new to whoever wants a new one: a client that asks for one with each
// of its updates does not make us hammer the registry.
const freshEnough = 100 * time.Millisecond

func (r *Registries) question(n Need, keys *keyring) question {
	p := r.parse(n.Image)
	q := question{need: n, ref: p.ref, place: place{p.sources, keys}, identity: keys.identity(p.sources), err: p.err}
	if n.Fresh {
		q.since = r.now().Add(-freshEnough)
	}
	return q
}

func (r *Registries) parse(image string) *parsed {
	if p, ok := r.names.get(image); ok {
		return p
	}
	p := &parsed{}
	if p.ref, p.err = ParseReference(image); p.err == nil {
		p.sources = r.config.sources(p.ref)
	}
	if len(image) <= maxReference {
		r.names.put(image, p, 1)
	}
	return p
}

// known answers q from memory, if that is possible.
func (r *Registries) known(q question) (Fact, bool) {
	fact := Fact{Image: q.need.Image, Reference: q.ref, Digest: q.ref.Digest(), Err: q.err}
	if q.err != nil {
		return r.metrics.answered(fact, r.metrics.cached), true
	}
	if fact.Digest == "" && q.need.resolves() {
		known, ok := r.knownTag(q)
		if !ok {
			return fact, false
		}
		if !known.into(&fact) {
			return r.metrics.answered(fact, r.metrics.cached), true
		}
	}
	if q.need.inspects() {
		c, f, ok := r.knownContents(q, fact.Digest)
		if !ok {
			return fact, false
		}
		c.into(&fact, f)
	}
	return r.metrics.answered(fact, r.metrics.cached), true
}

// ask answers q, waiting for registries until ctx ends.
func (r *Registries) ask(ctx context.Context, q question) Fact {
	fact := Fact{Image: q.need.Image, Reference: q.ref, Digest: q.ref.Digest()}
	if fact.Digest == "" && !r.askTag(ctx, q).into(&fact) {
		return r.metrics.answered(fact, r.metrics.asked)
	}
	if q.need.inspects() {
		c, f := r.askContents(ctx, q, fact.Digest)
		c.into(&fact, f)
	}
	return r.metrics.answered(fact, r.metrics.asked)
}

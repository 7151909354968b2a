package image

import (
	"context"
	"strings"
)

// Standing is what a registry says now about an image that is named by its digest.
type Standing struct {
	// Tag is the digest that the tag stands for now. Empty: no tag is written beside the digest, or TagErr is set.
	Tag string
	// TagErr is an *Error saying why that is not known. With NotFound the tag is gone.
	TagErr error
	// Err is an *Error saying why it is not known whether the registry has the digest. With NotFound it has not, and no node that does
	// not have the image already can pull it.
	Err error
}

// Standing asks the registry of a reference with a digest how things stand: what the tag beside it has become, and, unless the tag stands for the
// digest, whether the registry still has it. Nothing is read but the heads of manifests. It is not for admission, and asks each time about the
// digest; about the tag, what is remembered counts.
func (r *Registries) Standing(ctx context.Context, image string, who Credentials) (s Standing) {
	err := guard(func() error {
		s = r.standing(ctx, image, r.keyring(ctx, who))
		return nil
	})
	if err != nil {
		ref, _ := ParseReference(image)
		s.Err = asFailure(err).about(ref)
	}
	return s
}

func (r *Registries) standing(ctx context.Context, image string, keys *keyring) (s Standing) {
	q := r.question(Need{Image: image}, keys)
	if q.err != nil {
		s.Err = q.err
		return s
	}
	if q.ref.Tag() != "" {
		tagged, _, _ := strings.Cut(image, "@")
		t := r.question(Need{Image: tagged, Digest: true}, keys)
		if t.err != nil {
			s.TagErr = t.err
		} else if answer := r.askTag(ctx, t); answer.failure != nil {
			s.TagErr = answer.failure.about(q.ref)
		} else if answer.stale > 0 {
			s.TagErr = (&failure{reason: Unreachable}).about(q.ref)
		} else if s.Tag = answer.digest; s.Tag == q.ref.Digest() {
			return s
		}
	}
	if q.ref.Digest() == "" {
		return s
	}
	if _, err := r.client.head(ctx, q.place, q.ref.Digest()); err != nil {
		s.Err = asFailure(err).about(q.ref)
	}
	return s
}

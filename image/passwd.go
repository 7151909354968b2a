package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"

	"golang.org/x/sync/semaphore"
)

// Bounds of one search, over all platforms of the image. Unpacked bytes are counted on their own: a gigabyte of zeros packs into one
// megabyte. Nothing of them is held in memory but the file that is looked for.
const (
	maxLayerBytes    = 64 << 20
	maxUnpackedBytes = 256 << 20
	maxPasswd        = 1 << 20
	maxLayersRead    = 128
	maxLayers        = 4       // read at once
	maxHostLayers    = 2       // of them from one registry
	zstdWindow       = 8 << 20 // what RFC 8878 asks decoders to support
)

// search looks for the uid of every USER that is a name, and returns contents with them. Layers are read from the top, as the file
// system that they make is seen; the first that has /etc/passwd or hides it decides. Each is read to its end, since within a
// layer the last entry of a name wins, and its hash is checked like everything else's.
//
// A layer that writes /etc/passwd through a symbolic link in a directory of a layer below is not followed. An image made for that
// lies about its USER; whether its processes may become root is for securityContext to say.
//
// A failure is in the contents: they are searched only if asking again would not change it.
func (r *Registries) search(ctx context.Context, p place, c *contents) *contents {
	found := &contents{platforms: slices.Clone(c.platforms), users: slices.Clone(c.users), searched: true}
	s := &search{registries: r, place: p, packed: maxLayerBytes, unpacked: maxUnpackedBytes}
	for i := range found.users {
		u := &found.users[i]
		if u.name == "" {
			continue
		}
		uid, noShell, err := s.uid(ctx, u.name, u.layers)
		if err != nil {
			u.failure = asFailure(err)
			found.searched = found.searched && u.failure.settled()
		}
		found.platforms[i].UID, found.platforms[i].NoShell = uid, noShell
	}
	return found
}

// settled reports whether the bytes of the image decide a failure, so that asking again is no use.
func (f *failure) settled() bool {
	return slices.Contains([]Reason{InvalidUser, UserNotFound, PasswdUnreadable, TooLarge, NotAnImage}, f.reason)
}

// search is one search with what is left of its bounds.
type search struct {
	registries *Registries
	place      place
	packed     int64
	unpacked   int64
	read       int // layers
}

// uid finds the uid of name, and whether reading the layers has shown that the image has no /bin/sh: all were read, and none of them
// has one. A shell that an upper layer removes counts as being there, since nobody relies on knowing that one.
func (s *search) uid(ctx context.Context, name string, layers []descriptor) (uid int64, noShell bool, err error) {
	shell := false
	for i, d := range slices.Backward(layers) {
		l, err := s.layer(ctx, d)
		if err != nil {
			return UnknownUID, false, err
		}
		shell = shell || l.shell
		noShell = i == 0 && !shell
		switch l.passwd() {
		case fileFound:
			uid, err := lookupUser(l.content, name)
			return uid, noShell, err
		case fileUnreadable:
			return UnknownUID, noShell, &failure{reason: PasswdUnreadable}
		case fileHidden:
			return UnknownUID, noShell, &failure{reason: UserNotFound}
		}
	}
	return UnknownUID, !shell, &failure{reason: UserNotFound}
}

// layer fetches and scans one layer.
func (s *search) layer(ctx context.Context, d descriptor) (l *layer, err error) {
	defer s.registries.metrics.request("layers", s.registries.now(), &err)
	if !d.MediaType.IsLayer() && d.MediaType != dockerZstdLayer || !d.MediaType.IsDistributable() || !validDigest(d.Digest) {
		return nil, &failure{reason: PasswdUnreadable}
	}
	if d.Size < 0 || d.Size > s.packed || s.read == maxLayersRead {
		return nil, &failure{reason: TooLarge}
	}
	s.packed -= d.Size
	s.read++
	err = s.place.each(ctx, func(src source) (err error) {
		l, err = s.layerAt(ctx, src, d)
		return err
	})
	return l, err
}

func (s *search) layerAt(ctx context.Context, src source, d descriptor) (*layer, error) {
	c := s.registries.client
	for _, limit := range []*semaphore.Weighted{c.host(src.host).layers, s.registries.layers} {
		if err := limit.Acquire(ctx, 1); err != nil {
			return nil, &failure{reason: Timeout, err: err}
		}
		defer limit.Release(1)
	}
	resp, err := c.open(ctx, src, s.place.keys, object{http.MethodGet, "blobs", d.Digest, d.Size, flightTimeout})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	hash := sha256.New()
	packed := io.TeeReader(io.LimitReader(resp.Body, d.Size+1), hash)
	l, scanErr := scanLayer(&boundedReader{left: &s.unpacked}, packed)
	if scanErr != nil && asFailure(scanErr).reason == TooLarge {
		return nil, scanErr
	}
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return nil, asFailure(err)
	}
	if "sha256:"+hex.EncodeToString(hash.Sum(nil)) != d.Digest {
		return nil, &failure{reason: DigestMismatch}
	}
	if scanErr != nil { // the right bytes, but no layer
		return nil, &failure{reason: PasswdUnreadable, err: scanErr}
	}
	return l, nil
}

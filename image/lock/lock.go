// Package lock keeps the digests of images in a file that is reviewed like code.
//
// Without it a digest is what a registry said on the day somebody asked: the file
// that CI repairs, the one that a colleague repairs and what the webhook stores
// may each pin another one, and nobody has agreed to any of them.
package lock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/portcullis-dev/portcullis/image"
)

// APIVersion and Kind are what the first lines of the file say. Another version of
// its format has another APIVersion.
const (
	APIVersion = "portcullis.dev/v1alpha1"
	Kind       = "ImageLock"
)

// Lock is digests by tag. It is safe for concurrent use.
type Lock struct {
	mu sync.RWMutex
	// digests are by canonical name and tag: docker.io/library/nginx:1.29.
	digests map[string]string
}

// New is a lock without entries.
func New() *Lock { return &Lock{digests: map[string]string{}} }

// key is what an image is listed by, empty for what no lock can list: what is not
// a reference, and what has a digest or no tag.
func key(ref image.Reference) string {
	if ref.Digest() != "" {
		return ""
	}
	return Tag(ref)
}

// Tag is what a lock lists the tag of a reference by, whether a digest follows it or
// not: docker.io/library/nginx:1.29. It is empty where there is no tag.
func Tag(ref image.Reference) string {
	if ref.Tag() == "" {
		return ""
	}
	return ref.Name() + ":" + ref.Tag()
}

// find is the entry of an image as written.
func (l *Lock) find(written string) (ref image.Reference, digest string) {
	ref, err := image.ParseReference(written)
	if err != nil || key(ref) == "" {
		return ref, ""
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return ref, l.digests[key(ref)]
}

// Has reports whether the lock has the digest of an image as written.
func (l *Lock) Has(written string) bool {
	_, digest := l.find(written)
	return digest != ""
}

// Add lists the digest of a tag, unless there is one.
func (l *Lock) Add(ref image.Reference, digest string) {
	name := key(ref)
	if name == "" || digest == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.digests[name] == "" {
		l.digests[name] = digest
	}
}

// Other is the digest that the lock has for the tag of a reference with tag and digest,
// empty where it has none, or the same.
func (l *Lock) Other(ref image.Reference) string {
	if ref.Digest() == "" || ref.Tag() == "" {
		return ""
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if digest := l.digests[Tag(ref)]; digest != ref.Digest() {
		return digest
	}
	return ""
}

// Prune takes out all tags but those that are named, as Tag makes them, and returns
// what it took out, by name.
func (l *Lock) Prune(named map[string]bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone []string
	for name := range l.digests {
		if !named[name] {
			delete(l.digests, name)
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return gone
}

// Refresh asks for all tags anew. One that cannot be resolved keeps its digest and
// is among the errors.
func (l *Lock) Refresh(ctx context.Context, images Gatherer) []error {
	const atOnce = 32 // a review may ask for 64
	var errs []error
	names := slices.Sorted(maps.Keys(l.digests))
	for few := range slices.Chunk(names, atOnce) {
		needs := make([]image.Need, len(few))
		for i, name := range few {
			needs[i] = image.Need{Image: name, Digest: true, Fresh: true}
		}
		facts := images.Gather(ctx, needs, image.Credentials{})
		l.mu.Lock()
		for _, name := range few {
			fact := facts[name]
			switch {
			case fact.Err != nil || fact.Digest == "" || fact.Stale > 0:
				errs = append(errs, fmt.Errorf("%s keeps its digest: %w", strconv.Quote(name), unresolved(fact)))
			default:
				l.digests[name] = fact.Digest
			}
		}
		l.mu.Unlock()
	}
	return errs
}

func unresolved(f image.Fact) error {
	if f.Err != nil {
		return f.Err
	}
	return errors.New("its registry does not answer")
}

const header = `# Digests of images by tag, as "portcullis fix --lock" writes them. Review a change of this file as one of code.
`

// Bytes is the text of the file: sorted, one line an image.
func (l *Lock) Bytes() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var b bytes.Buffer
	b.WriteString(header + "apiVersion: " + APIVersion + "\nkind: " + Kind + "\n")
	if len(l.digests) == 0 {
		b.WriteString("images: {}\n")
		return b.Bytes()
	}
	b.WriteString("images:\n")
	for _, name := range slices.Sorted(maps.Keys(l.digests)) {
		written := name
		if strings.HasPrefix(name, "[") { // an IPv6 address
			written = strconv.Quote(name)
		}
		fmt.Fprintf(&b, "  %s: %s\n", written, l.digests[name])
	}
	return b.Bytes()
}

package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// What manifests and configurations hold of memory while an image is read. Bytes count when they arrive, so that who sends nothing
// holds nothing. Usual images stay below smallImage. One that outgrows it is let go and read again in one of few places for large
// ones: nobody waits for memory while he holds some, or holds a request open.
const (
	readStep      = 16 << 10
	smallImage    = 256 << 10
	maxImageBytes = 8 << 20  // of one image, over all its platforms
	smallBytes    = 24 << 20 // of all small images
	maxSmallRead  = 16       // at once, of one registry
	maxLargeRead  = 2        // at once, over all registries, and one of each
)

// memory is what reading one image holds.
type memory struct {
	limit  int64
	budget *semaphore.Weighted // of small images; nil for a large one, which has its place
	used   atomic.Int64
}

// errOutgrown is the failure of reading an image as a small one.
var errOutgrown = errors.New("image is not small")

// reserve has read called with memory for an image of registry: once, or again if the image is large.
func (c *client) reserve(ctx context.Context, registry string, read func(*memory) error) error {
	h := c.host(registry)
	err := inPlace(ctx, &memory{limit: smallImage, budget: c.bytes}, read, h.small)
	if errors.Is(err, errOutgrown) {
		return inPlace(ctx, &memory{limit: maxImageBytes}, read, h.large, c.large)
	}
	return err
}

func inPlace(ctx context.Context, m *memory, read func(*memory) error, places ...*semaphore.Weighted) error {
	for _, place := range places {
		if err := place.Acquire(ctx, 1); err != nil {
			return &failure{reason: Timeout, err: err}
		}
		defer place.Release(1)
	}
	defer func() { m.giveBack(m.used.Load()) }()
	return read(m)
}

// take accounts for n more bytes before they are read.
func (m *memory) take(n int64) error {
	if m.budget != nil && !m.budget.TryAcquire(n) {
		return &failure{reason: Unavailable, detail: "cannot be looked up: too many images are being read at this moment"}
	}
	if m.used.Add(n) <= m.limit {
		return nil
	}
	if m.budget != nil {
		return &failure{reason: TooLarge, err: errOutgrown}
	}
	return &failure{reason: TooLarge}
}

// giveBack takes n bytes off the account that did not come.
func (m *memory) giveBack(n int64) {
	m.used.Add(-n)
	if m.budget != nil {
		m.budget.Release(n)
	}
}

// read reads body, of at most size bytes.
func (m *memory) read(body io.Reader, size int64) ([]byte, error) {
	var all bytes.Buffer
	for {
		if err := m.take(readStep); err != nil {
			return nil, err
		}
		n, err := io.CopyN(&all, body, readStep)
		m.giveBack(readStep - n)
		switch {
		case int64(all.Len()) > size:
			return nil, &failure{reason: TooLarge}
		case errors.Is(err, io.EOF):
			return all.Bytes(), nil
		case err != nil:
			return nil, asFailure(err)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
)

// readLock reads --lock; without a path there is no lock.
func readLock(path string) (*lock.Lock, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading --lock: %w; portcullis fix --online --lock makes it", err)
	case err != nil:
		return nil, fmt.Errorf("reading --lock: %w", err)
	}
	return lock.Load(data, path)
}

// refreshLock asks for the digests of the lock anew, and reports whether one could
// not be had.
func (j *judge) refreshLock(ctx context.Context, log io.Writer) bool {
	images, ok := j.images.(*lock.Images)
	if !ok || images.Next == nil {
		return false
	}
	errs := j.lock.Refresh(ctx, timed{images.Next})
	for _, err := range errs {
		fmt.Fprintln(log, "portcullis: updating the lock:", err)
	}
	return len(errs) > 0
}

// timed bounds how long registries are waited for, as gather does.
type timed struct{ lock.Gatherer }

// Gather answers within gatherTimeout.
func (t timed) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	return t.Gatherer.Gather(ctx, needs, who)
}

// keepLock writes the lock where it has changed. A run that only shows what it
// would do shows that too.
func (f *fixFlags) keepLock(l *lock.Lock, out io.Writer, log io.Writer) error {
	if l == nil || !f.judge.online {
		return nil
	}
	old, err := os.ReadFile(f.judge.lock)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading --lock: %w", err)
	}
	updated := l.Bytes()
	if string(old) == string(updated) {
		return nil
	}
	if f.diff {
		_, err := io.WriteString(out, unifiedDiff(f.judge.lock, old, updated))
		return err
	}
	if err := replaceFile(f.judge.lock, updated); err != nil {
		return fmt.Errorf("writing --lock: %w", err)
	}
	fmt.Fprintf(log, "portcullis: wrote %s\n", engine.Quote(f.judge.lock))
	return nil
}

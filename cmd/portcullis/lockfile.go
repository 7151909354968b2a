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
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/report"
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

// prepareLock makes sure that the lock can be written, takes out of it what --prune is
// for, so that no registry is asked for that, and writes it where --update has changed
// it, before a manifest is: a digest in a manifest that no lock has would be there for
// nobody's review. It reports whether a digest could not be had anew.
func (f *fixFlags) prepareLock(ctx context.Context, j *judge, in *input.Input, log io.Writer) (stale bool, err error) {
	if j.lock == nil || !f.keepsLock() {
		return false, nil
	}
	if !f.diff {
		if err := replaceable(f.judge.lock); err != nil {
			return false, fmt.Errorf("writing --lock %s: %w; no manifest was written", engine.Quote(f.judge.lock), reason(err))
		}
	}
	if f.prune {
		j.pruneLock(in, log)
	}
	if !f.update {
		return false, nil
	}
	stale = j.refreshLock(ctx, log)
	if f.diff {
		return stale, nil // it comes after the manifests
	}
	return stale, f.keepLock(j.lock, io.Discard, log)
}

// keepsLock reports whether the lock may change.
func (f *fixFlags) keepsLock() bool { return f.judge.online || f.prune }

// reason is an error without the path, which may be that of a temporary file.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
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

// stranded are the digests of a manifest that are not those of the lock for their
// tags: a lock that was updated with another part of the manifests leaves them behind.
func (j *judge) stranded(d *input.Document) []report.Result {
	if j.lock == nil {
		return nil
	}
	var all []report.Result
	for i := range d.Workload.Images() {
		ref, err := image.ParseReference(*i.Reference)
		if err != nil {
			continue
		}
		digest := j.lock.Other(ref)
		if digest == "" {
			continue
		}
		r := objectResult(d)
		r.Line, r.Column = d.Position(i.Path())
		r.Rule, r.Check, r.Result = mutate.DigestsRule, "lock", report.Warn
		r.Field, r.Value = i.Path().String(), *i.Reference
		if i.Container != nil {
			r.Container = i.Name
		}
		r.Message = fmt.Sprintf("has the digest %s of %s, and the lock has %s", ref.Digest(), engine.Quote(ref.Name()+":"+ref.Tag()), digest)
		r.Fix = "update all manifests of a lock together: portcullis fix --write --online --lock FILE --update"
		all = append(all, r)
	}
	return all
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
	if l == nil || !f.keepsLock() {
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
		return fmt.Errorf("writing --lock %s: %w", engine.Quote(f.judge.lock), reason(err))
	}
	fmt.Fprintf(log, "portcullis: wrote %s\n", engine.Quote(f.judge.lock))
	return nil
}

package input

import (
	"context"
	"runtime"
	"sync"
)

// Each gives every file to work, on all processors at the same time, and what
// work returns to done, one after the other and in the order of the files. Only
// a few files are in memory at a time. It ends early with ctx, or with the first
// error of done, and returns that.
func Each[T any](ctx context.Context, in *Input, work func(context.Context, *File) T, done func(T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	type job struct {
		index  int
		result chan T
	}
	jobs := make(chan job)
	// pending keeps the order: a result is waited for in the order of the files.
	pending := make(chan chan T, 8*workers)
	go func() {
		defer close(jobs)
		defer close(pending)
		for i := range in.Len() {
			j := job{i, make(chan T, 1)}
			select {
			case pending <- j.result:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	}()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for range workers {
		running.Go(func() {
			for j := range jobs {
				j.result <- work(ctx, in.File(j.index))
			}
		})
	}
	for result := range pending {
		select {
		case r := <-result:
			if err := done(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

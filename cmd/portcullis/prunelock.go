package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
	"github.com/portcullis-dev/portcullis/input"
)

// maxPruned bounds the tags that are named of those that were taken out of the lock.
const maxPruned = 20

// pruneLock takes the tags out of the lock that no manifest names, and says which. A
// tag that is taken out by mistake gets another digest the next time: where a part of
// the input cannot be read, or no image is in it, all tags stay.
func (j *judge) pruneLock(in *input.Input, log io.Writer) {
	named, complete := taggedImages(in)
	switch {
	case !complete:
		fmt.Fprintln(log, "portcullis: pruning the lock: no tag is taken out, since not all of the input can be read")
		return
	case len(named) == 0:
		fmt.Fprintln(log, "portcullis: pruning the lock: no tag is taken out, since no manifest that was given names an image")
		return
	}
	gone := j.lock.Prune(named)
	if len(gone) == 0 {
		return
	}
	names := make([]string, 0, maxPruned)
	for _, name := range gone[:min(len(gone), maxPruned)] {
		names = append(names, engine.Quote(name))
	}
	more := ""
	if len(gone) > maxPruned {
		more = fmt.Sprintf(" and %d more", len(gone)-maxPruned)
	}
	fmt.Fprintf(log, "portcullis: pruning the lock: no manifest that was given names %s%s\n", strings.Join(names, ", "), more)
}

// taggedImages are the tags that the workloads of an input name, as a lock lists them,
// with a digest after them or not. They are not complete where something cannot be
// read.
func taggedImages(in *input.Input) (named map[string]bool, complete bool) {
	named, complete = map[string]bool{}, true
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			if p != nil {
				complete = false
				continue
			}
			if d.Workload == nil {
				continue
			}
			for i := range d.Workload.Images() {
				ref, err := image.ParseReference(*i.Reference)
				if name := lock.Tag(ref); err == nil && name != "" {
					named[name] = true
				}
			}
		}
	}
	return named, complete
}

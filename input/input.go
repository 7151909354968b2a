package input

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// Options say what to read.
type Options struct {
	// Paths are files, folders, and Stdin.
	Paths []string
	// Stdin is what the path - reads.
	Stdin io.Reader
	// Kustomize are folders with a kustomization, each rendered as kubectl
	// kustomize does.
	Kustomize []string
	// Charts are Helm charts, each rendered as helm template does.
	Charts []Chart
	// Namespace is that of objects that name none. Default: default.
	Namespace string
}

// Input is what is to be read, found but not yet read.
type Input struct {
	entries   []entry
	namespace string
}

// entry is one file to come.
type entry struct {
	name     string
	path     string // empty where data is known
	data     []byte
	named    bool
	real     string // path with all links resolved; empty where it is not known
	outside  bool   // real is in none of the folders that were named
	rendered bool
	problem  *Problem
}

// Open finds what the options name. What cannot be found or rendered becomes a
// problem in its place, which File.Documents yields.
func Open(ctx context.Context, o Options) *Input {
	w := &walker{}
	for _, path := range o.Paths {
		if path == Stdin {
			w.stdin(ctx, o.Stdin)
			continue
		}
		w.path(path)
	}
	w.lookOutside()
	for _, folder := range o.Kustomize {
		w.kustomize(folder)
	}
	in := &Input{entries: w.entries, namespace: o.Namespace}
	if in.namespace == "" {
		in.namespace = "default"
	}
	for _, chart := range o.Charts {
		in.entries = append(in.entries, chart.render(ctx, in.namespace)...)
	}
	return in
}

// Len is the number of files.
func (in *Input) Len() int { return len(in.entries) }

// File reads the i-th file, from 0.
func (in *Input) File(i int) *File {
	e := in.entries[i]
	f := &File{Name: e.name, Data: e.data, Rendered: e.rendered, named: e.named, namespace: in.namespace, problem: e.problem}
	if e.path == "" {
		return f
	}
	if e.outside {
		f.Outside = e.real
	}
	var err error
	if f.Data, err = readFile(e.path); err != nil {
		f.problem = &Problem{Source: e.name, Message: err.Error()}
	}
	return f
}

// stdin reads standard input now: it can be read once.
func (w *walker) stdin(ctx context.Context, r io.Reader) {
	for _, e := range w.entries {
		if e.name == Stdin {
			w.refuse(Stdin, errors.New("is named twice, and can be read once"))
			return
		}
	}
	data, err := readUntil(ctx, r)
	if err != nil {
		w.refuse(Stdin, err)
		return
	}
	w.entries = append(w.entries, entry{name: Stdin, data: data, named: true})
}

// readUntil reads all there is, or waits for it until ctx ends: nothing else ends the
// wait for what a pipe or a person never writes.
func readUntil(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := readAll(r, 0)
		read <- result{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot be read: %w", ctx.Err())
	case got := <-read:
		return got.data, got.err
	}
}

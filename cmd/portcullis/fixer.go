package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/report"
)

// fixer repairs an input, file by file.
type fixer struct {
	judge   *judge
	derive  *deriver
	log     io.Writer
	deliver delivery

	// unknown are the namespaces whose labels would matter and are not known.
	unknown map[string]bool
	// fixed and left count what was mended and what was not; files count those that
	// differ now.
	fixed, left, files, seen int
	// failed: something enforced is violated still; unjudged: something could not be
	// judged or written; stale: a digest could not be asked for anew.
	failed, unjudged, stale bool
}

// repaired is one file after its repair.
type repaired struct {
	file *input.File
	text []byte
	// foreign: there is nothing of Kubernetes in it.
	foreign bool
	fixed   []mended
	left    []report.Result
	unknown []string
}

// all repairs the input.
func (x *fixer) all(ctx context.Context, in *input.Input) error {
	namespaces, problems := in.Namespaces(ctx)
	x.judge.add(namespaces)
	x.say(nil, problemResults(problems))
	line := newProgress(x.log, in.Len())
	err := input.Each(ctx, in, x.file, func(one *repaired) error {
		line.step()
		line.end()
		x.take(one)
		return nil
	})
	line.end()
	x.summarize()
	return err
}

// file repairs the documents of one file. It runs on several files at once.
func (x *fixer) file(ctx context.Context, f *input.File) (one *repaired) {
	defer func() {
		if reason := recover(); reason != nil {
			p := mistake(reason)
			p.Source = f.Name
			one = &repaired{file: f, text: f.Data, left: []report.Result{problemResult(p)}}
		}
	}()
	one = &repaired{file: f, text: f.Data, foreign: true}
	units := unitsOf(f)
	for _, u := range units {
		one.foreign = one.foreign && u.foreign()
		for _, d := range u.workloads {
			if !x.judge.knows(d.Namespace) {
				one.unknown = append(one.unknown, d.Namespace)
			}
		}
		u.repair(ctx, x.derive)
	}
	one.text = assemble(f, units)
	if !sameShape(f, one.text) {
		one.text = f.Data
		for _, u := range units {
			u.undo("the file would read otherwise with it")
		}
	}
	for _, u := range units {
		one.fixed = append(one.fixed, u.done...)
		one.left = append(one.left, u.left...)
	}
	return one
}

// take delivers a file and says what became of it.
func (x *fixer) take(one *repaired) {
	x.seen++
	changed := string(one.text) != string(one.file.Data)
	if err := x.deliver.deliver(one); err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		x.unjudged = true
		fmt.Fprintf(x.log, "portcullis: %s: cannot be written: %v\n", report.Place(report.Result{Source: one.file.Name}), err)
		one.fixed, changed = nil, false
	}
	if changed {
		x.files++
	}
	for _, name := range one.unknown {
		if x.unknown == nil {
			x.unknown = map[string]bool{}
		}
		x.unknown[name] = true
	}
	x.say(one.fixed, one.left)
}

// say writes what was fixed, what was not and why.
func (x *fixer) say(fixed []mended, left []report.Result) {
	for _, m := range fixed {
		fmt.Fprintf(x.log, "%s: %s %s\n", m.place, x.verb(), m.text)
	}
	x.fixed += len(fixed)
	for _, r := range left {
		switch r.Result {
		case report.Error:
			x.unjudged = true
			fmt.Fprintln(x.log, report.Line(r, "not judged:"))
			continue
		case report.Fail:
			x.failed = true
		}
		x.left++
		fmt.Fprintln(x.log, report.Line(r, "not fixed"))
	}
}

func (x *fixer) summarize() {
	fmt.Fprintf(x.log, "portcullis: %s %d in %d of %d files, left %d\n", x.verb(), x.fixed, x.files, x.seen, x.left)
}

func (x *fixer) verb() string {
	if _, ok := x.deliver.(diffs); ok {
		return "would fix"
	}
	return "fixed"
}

func (x *fixer) verdict() error {
	switch {
	case x.unjudged:
		return errUnjudged
	case x.failed || x.stale:
		return errViolated
	}
	return nil
}

// mistake is what a panic becomes: the problem of the document that it is about, so
// that the others are repaired nevertheless.
func mistake(reason any) *input.Problem {
	return &input.Problem{Message: "stopped portcullis, which is a mistake in it, please report it: " + engine.Quote(fmt.Sprint(reason))}
}

func problemResults(problems []*input.Problem) []report.Result {
	var all []report.Result
	for _, p := range problems {
		all = append(all, problemResult(p))
	}
	return all
}

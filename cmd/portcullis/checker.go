package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/report"
)

// checker judges an input and collects what comes out.
type checker struct {
	judge   *judge
	verbose bool
	log     io.Writer
	known   *baseline
	shapes  *shapes

	report report.Report
	// failed and warned count findings that the baseline does not have.
	failed, warned int
	// unknown are the namespaces whose labels would matter and are not known.
	unknown map[string]bool
}

// checked is what one file yields.
type checked struct {
	name    string
	objects int
	// unmatched are objects that no policy is for.
	unmatched int
	// others are documents that carry no pod template.
	others  int
	results []report.Result
	uses    []report.ExceptionUse
	notes   []string
	// unknown are the namespaces of objects whose labels are not known.
	unknown []string
}

// check judges all of the input.
func (c *checker) check(ctx context.Context, in *input.Input) error {
	namespaces, problems := in.Namespaces(ctx)
	c.judge.add(namespaces)
	for _, p := range problems {
		c.report.Add(problemResult(p))
	}
	line := newProgress(c.log, in.Len())
	defer line.end()
	return input.Each(ctx, in, c.file, func(one *checked) error {
		line.step()
		c.add(one)
		return nil
	})
}

// file judges the documents of one file. It runs on several files at once.
func (c *checker) file(ctx context.Context, f *input.File) *checked {
	one := &checked{name: f.Name}
	for d, p := range f.Documents() {
		switch {
		case p != nil:
			one.results = append(one.results, problemResult(p))
		case d.Workload == nil:
			one.others++
			if c.verbose {
				one.notes = append(one.notes, other(d))
			}
		default:
			one.objects++
			shape := c.shapes.of(d)
			one.notes = append(one.notes, shape.warnings...)
			if shape.problem != nil {
				one.results = append(one.results, problemResult(shape.problem))
				continue
			}
			if !c.judge.knows(d.Namespace) {
				one.unknown = append(one.unknown, d.Namespace)
			}
			decision, p := c.decide(ctx, d)
			if p != nil {
				one.results = append(one.results, problemResult(p))
				continue
			}
			one.uses = append(one.uses, exceptionUses(decision, c.judge.now)...)
			results := resultsOf(d, decision)
			if len(results) == 0 {
				one.unmatched++
				if c.verbose {
					one.notes = append(one.notes, fmt.Sprintf("%s: document %d: no policy is for %s %s in namespace %s",
						d.Source, d.Index, d.Kind, engine.Quote(d.Name), engine.Quote(d.Namespace)))
				}
			}
			one.results = append(append(one.results, results...), c.judge.stranded(d)...)
		}
	}
	return one
}

// decide judges one document; a panic is its problem alone.
func (c *checker) decide(ctx context.Context, d *input.Document) (decision judgement, p *input.Problem) {
	defer func() {
		if reason := recover(); reason != nil {
			p = mistake(reason)
			p.Source, p.Document, p.Line = d.Source, d.Index, d.Line()
		}
	}()
	return c.judge.judge(ctx, c.judge.review(d)), nil
}

// add takes what one file yielded into the report.
func (c *checker) add(one *checked) {
	for i := range one.results {
		r := &one.results[i]
		if r.Result != report.Fail && r.Result != report.Warn {
			continue
		}
		switch {
		case c.known.has(*r):
			r.Result, r.Message = report.Warn, "known since the baseline: "+r.Message
		case r.Result == report.Fail:
			c.failed++
		default:
			c.warned++
		}
	}
	c.report.Add(one.results...)
	for _, use := range one.uses {
		c.report.AddException(use)
	}
	c.report.Summary.Files++
	c.report.Summary.Objects += one.objects
	c.report.Summary.Unmatched += one.unmatched
	c.report.Summary.NotWorkloads += one.others
	for _, name := range one.unknown {
		if c.unknown == nil {
			c.unknown = map[string]bool{}
		}
		c.unknown[name] = true
	}
	for _, note := range one.notes {
		fmt.Fprintln(c.log, note)
	}
}

// noteUnknown tells that a policy may or may not apply, where the labels of some
// namespaces are not known.
func (j *judge) noteUnknown(log io.Writer, unknown map[string]bool) {
	if j.selector == "" || len(unknown) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(unknown))
	fmt.Fprintf(log, "portcullis: policy %s selects namespaces by label, and the labels of %s are not known: they are taken for none; give --namespace-labels or --bundle, or check the Namespace too\n",
		engine.Quote(j.selector), engine.Quote(strings.Join(names, ", ")))
}

// other names a document that is no workload.
func other(d *input.Document) string {
	if d.Kind == "" {
		return fmt.Sprintf("%s: document %d: no Kubernetes object", d.Source, d.Index)
	}
	return fmt.Sprintf("%s: document %d: %s %s carries no pod template", d.Source, d.Index, strings.Trim(engine.Quote(d.Kind), `"`), engine.Quote(d.Name))
}

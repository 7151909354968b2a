package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/audit"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/report"
)

// fileAudit audits manifests in the place of a cluster: what a repository would do,
// by the policies and the labels of namespaces that a bundle brings along.
type fileAudit struct {
	*auditFlags
	streams
	scan audit.Scan
	uses []report.ExceptionUse
}

// run judges what the paths name.
func (a *fileAudit) run(ctx context.Context, paths []string) (*report.Audit, error) {
	a.scan.Started = time.Now()
	judge, err := a.judges(ctx)
	if err != nil {
		return nil, err
	}
	in, err := (&inputFlags{namespace: "default"}).open(ctx, paths, a.in)
	if err != nil {
		return nil, err
	}
	namespaces, problems := in.Namespaces(ctx)
	judge.add(namespaces)
	for _, p := range problems {
		a.unseen(p)
	}
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			switch {
			case p != nil:
				a.unseen(p)
			case d.Workload != nil && (len(a.namespaces) == 0 || slices.Contains(a.namespaces, d.Namespace)):
				a.take(ctx, judge, d)
			}
		}
	}
	a.scan.Took = time.Since(a.scan.Started)
	found := a.scan.Report()
	for _, use := range a.uses {
		use.SetDaysLeft(a.scan.Started)
		found.AddException(use)
	}
	return found, nil
}

// take judges one object; a panic is its problem alone.
func (a *fileAudit) take(ctx context.Context, judge *clusterJudge, d *input.Document) {
	defer func() {
		if reason := recover(); reason != nil {
			p := mistake(reason)
			p.Source, p.Document, p.Line = d.Source, d.Index, d.Line()
			a.unseen(p)
		}
	}()
	w := audit.Workload{Kind: d.Workload.Kind, Namespace: d.Namespace, Name: d.Name}
	if d.Kind == "Pod" {
		w.Pods = 1
	}
	judgement := judge.judgeDocument(ctx, judge.review(d), d)
	w.Judgement = &judgement
	a.uses = append(a.uses, judgement.Exceptions...)
	a.scan.Objects++
	a.scan.Workloads = append(a.scan.Workloads, w)
}

// unseen notes what could not be read.
func (a *fileAudit) unseen(p *input.Problem) {
	a.scan.Problems = append(a.scan.Problems, audit.Problem{What: p.Source, Err: errors.New(p.Error())})
}

// judges reads what to judge by: candidates, a preset or the bundle, and from the
// bundle the labels of namespaces in each case.
func (a *fileAudit) judges(ctx context.Context) (*clusterJudge, error) {
	f := a.auditFlags.judge
	bundle := f.bundle
	if len(f.policies) > 0 || f.preset != "" {
		f.bundle = ""
	}
	j, err := f.judge(ctx, a.err)
	if err != nil {
		return nil, err
	}
	if bundle != f.bundle {
		by, err := readBundle(ctx, bundle)
		if err != nil {
			return nil, usageError{err}
		}
		j.add(by.namespaces)
	}
	versions := a.versions
	if len(versions) == 0 {
		versions = []string{"latest"}
	}
	made, err := newClusterJudge(j, "files", versions)
	if err != nil {
		return nil, usageError{err}
	}
	return made, nil
}

// checkFiles refuses flags that are for a cluster, and a bundle without files.
func (f *auditFlags) checkFiles(paths []string) error {
	switch {
	case len(paths) == 0 && f.judge.bundle != "":
		return fmt.Errorf("reading --bundle %s: it is for manifests in the place of a cluster; name their files or folders", engine.Quote(f.judge.bundle))
	case len(paths) > 0 && f.kubeconfig != "":
		return fmt.Errorf("reading --kubeconfig %s: it is for a cluster, and %s is to be audited; leave one out", engine.Quote(f.kubeconfig), engine.Quote(paths[0]))
	}
	return nil
}

package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/portcullis-dev/portcullis/report"
)

// DefaultWorst is how many findings the report of a namespace has.
const DefaultWorst = 200

// Writer keeps objects in a cluster. Paths are those of single objects.
type Writer interface {
	Pager
	Apply(ctx context.Context, path string, object []byte) (resourceVersion string, err error)
	Delete(ctx context.Context, path string) error
	Serves(ctx context.Context, group, version, resource string) (bool, error)
}

// Reports keeps one report object for each namespace with findings to tell, and one
// for the cluster. It is not safe for concurrent use.
type Reports struct {
	// Writer reaches the cluster. Required.
	Writer Writer
	// Worst bounds the findings of a report. Required.
	Worst int

	api report.KeptAPI
	// known are the objects of the cluster by path; nil before they have been read.
	known map[string]*known
	// inherited are the findings of the reports that were there when the last Keep was
	// the first one, by path of the report; after another Keep nobody asks.
	inherited map[string]map[string]time.Time
}

// known is a report object as it was last seen or written.
type known struct {
	resourceVersion string
	content         [sha256.Size]byte
	firstSeen       map[string]time.Time
}

// remember keeps when findings were first seen that a report does not have any more, as
// long as there is room.
func (k *known) remember(before *known, room int) {
	if k == nil || before == nil || k == before {
		return
	}
	for id, at := range before.firstSeen {
		if _, there := k.firstSeen[id]; !there && len(k.firstSeen) < 2*room {
			k.firstSeen[id] = at
		}
	}
}

// ErrNoAPI says that the cluster has no kind for reports.
var ErrNoAPI = errors.New("the cluster knows neither reports.openreports.io nor policyreports.wgpolicyk8s.io")

// Keep makes the reports of the cluster say what a scan has found, and returns how
// many objects it wrote. A report that says it already is left alone; one that
// somebody else has changed is not. The error is ErrNoAPI where there is no place
// for reports; other errors are of single objects, and the rest is kept.
func (r *Reports) Keep(ctx context.Context, s *Scan) (written int, err error) {
	if err := r.find(ctx); err != nil {
		return 0, err
	}
	if err := r.read(ctx); err != nil {
		return 0, err
	}
	var errs []error
	wanted := map[string]bool{}
	for _, k := range r.reports(s) {
		wanted[r.path(k.Namespace)] = true
		before := r.known[r.path(k.Namespace)]
		wrote, err := r.write(ctx, k, s.Started)
		if len(s.Problems) > 0 { // a finding that was not seen may be there, and keeps its first sight
			r.known[r.path(k.Namespace)].remember(before, r.Worst)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if wrote {
			written++
		}
	}
	if len(s.Problems) > 0 { // what was not seen may be there
		return written, errors.Join(errs...)
	}
	for path := range r.known {
		if wanted[path] {
			continue
		}
		if err := r.Writer.Delete(ctx, path); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(r.known, path)
		written++
	}
	return written, errors.Join(errs...)
}

// find chooses the kind of reports, anew each time: CRDs come and go.
func (r *Reports) find(ctx context.Context) error {
	for _, api := range report.KeptAPIs() {
		there, err := r.Writer.Serves(ctx, api.Group, api.Version, api.Resource)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if api != r.api {
			r.api, r.known = api, nil
		}
		return nil
	}
	r.known = nil
	return ErrNoAPI
}

// path is that of the report on a namespace, or of the one on the cluster.
func (r *Reports) path(namespace string) string {
	resource := r.api.Resource
	if namespace == "" {
		resource = r.api.ClusterResource
	}
	return collectionPath(r.api.Group, r.api.Version, resource, namespace) + "/" + report.KeptName
}

// read finds out what the reports in the cluster say: everything the first time,
// and later only whether they are still those that were written.
func (r *Reports) read(ctx context.Context) error {
	first := r.known == nil
	found := map[string]*known{}
	collect := func(object jsontext.Value) error {
		h, err := readHeader(object)
		if err != nil {
			return err
		}
		path := r.path(h.Metadata.Namespace)
		one := r.known[path]
		switch {
		case first:
			one = &known{resourceVersion: h.Metadata.ResourceVersion}
			if one.firstSeen, err = report.ReadKept(object); err != nil {
				return err
			}
		case one == nil:
			one = &known{}
		case one.resourceVersion != h.Metadata.ResourceVersion:
			one = &known{firstSeen: one.firstSeen} // without a content: to be written
		}
		found[path] = one
		return nil
	}
	for _, resource := range []string{r.api.Resource, r.api.ClusterResource} {
		page := Page{
			Path: collectionPath(r.api.Group, r.api.Version, resource, ""), Fields: "metadata.name=" + report.KeptName, MetadataOnly: !first,
		}
		if err := list(ctx, r.Writer, page, func() collector { return collect }); err != nil {
			return err
		}
	}
	r.known, r.inherited = found, nil
	if first {
		r.inherited = make(map[string]map[string]time.Time, len(found))
		for path, one := range found {
			r.inherited[path] = one.firstSeen
		}
	}
	return nil
}

// knew reports whether a finding was there before the first scan that Keep has kept, as
// far as the reports say. Where they cannot say it was: there were none, or not all
// findings of the namespace are in its report.
func (r *Reports) knew(f *report.Result) bool {
	before := r.inherited[r.path(f.Namespace)]
	if len(r.inherited) == 0 || len(before) >= r.Worst {
		return true
	}
	_, ok := before[f.ID()]
	return ok
}

// write makes one report object say what it should.
func (r *Reports) write(ctx context.Context, k *report.Kept, now time.Time) (bool, error) {
	path := r.path(k.Namespace)
	before := r.known[path]
	if before == nil {
		before = &known{}
	}
	firstSeen := make(map[string]time.Time, len(k.Findings))
	for i := range k.Findings {
		f := &k.Findings[i]
		id := f.ID()
		if at, ok := before.firstSeen[id]; ok && at.Before(f.FirstSeen) {
			f.FirstSeen = at
		}
		firstSeen[id] = f.FirstSeen
		f.LastSeen = f.FirstSeen
		if today := now.UTC().Truncate(day); today.After(f.LastSeen) {
			f.LastSeen = today
		}
	}
	object, err := k.Object()
	if err != nil {
		return false, err
	}
	content := sha256.Sum256(object)
	if before.content == content {
		return false, nil
	}
	version, err := r.Writer.Apply(ctx, path, object)
	switch {
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return false, nil // the namespace goes, and its report with it
	case err != nil:
		return false, err
	}
	r.known[path] = &known{resourceVersion: version, content: content, firstSeen: firstSeen}
	return true, nil
}

// day is what the last sight of a finding is rounded to, so that a report of a
// namespace in which nothing happens is written once a day and not by each scan.
const day = 24 * time.Hour

// reports are those that a scan gives rise to: of each namespace with a workload,
// and of the cluster.
func (r *Reports) reports(s *Scan) []*report.Kept {
	byNamespace := map[string]*report.Report{}
	total := &report.Report{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		n := byNamespace[w.Namespace]
		if n == nil {
			n = &report.Report{}
			byNamespace[w.Namespace] = n
		}
		results := w.Results()
		n.Add(results...)
		n.Summary.Pass += w.Passed
		total.Add(results...)
		total.Summary.Pass += w.Passed
	}
	for _, refused := range report.RefusedObjects(s.Denied) {
		namespace := refused[0].Namespace
		n := byNamespace[namespace]
		if _, there := slices.BinarySearch(s.Namespaces, namespace); n == nil && there { // nothing runs that was not refused
			n = &report.Report{}
			byNamespace[namespace] = n
		}
		if n != nil {
			n.Add(refused.Results()...)
		}
	}
	for _, p := range s.Images {
		if n := byNamespace[p.Namespace]; n != nil {
			n.Add(p.Result())
			total.Add(p.Result())
		}
	}
	total.Results = report.RuleCounts(total.Results)
	for i := range s.Exceptions {
		x := &s.Exceptions[i]
		total.Add(x.ExceptionUse.Result(s.Started))
		for namespace, in := range x.In {
			n := byNamespace[namespace]
			if n == nil { // what is in it counts with an owner elsewhere
				continue
			}
			here := x.ExceptionUse
			here.Objects, here.Needed = in.Objects, in.Needed
			n.Add(here.Result(s.Started))
		}
	}
	all := []*report.Kept{r.kept("", total, s.Started)}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		all = append(all, r.kept(namespace, byNamespace[namespace], s.Started))
	}
	return all
}

func (r *Reports) kept(namespace string, found *report.Report, now time.Time) *report.Kept {
	k := &report.Kept{API: r.api, Namespace: namespace, Summary: found.Summary}
	slices.SortFunc(found.Results, func(a, b report.Result) int { return report.Worst(&a, &b) })
	k.Overflow = max(0, len(found.Results)-r.Worst)
	for _, result := range found.Results[:len(found.Results)-k.Overflow] {
		k.Findings = append(k.Findings, report.KeptFinding{Result: result, FirstSeen: now.UTC().Truncate(time.Second)})
	}
	return k
}

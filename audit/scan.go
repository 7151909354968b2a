package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
)

// judging is how many workloads are judged at once. More would only help where
// registries are slow, and those are asked for many at a time already.
const judging = 4

// maxProblems bounds what is told about a cluster of which much cannot be seen.
const maxProblems = 100

// Scanner scans a cluster again and again, and judges what has changed since the
// scan before. It is not safe for concurrent use.
type Scanner struct {
	// Pager reads lists. Required.
	Pager Pager
	// Judge decides. Required.
	Judge Judge
	// Namespaces are those to scan; empty: all.
	Namespaces []string

	// Gaps are times in which nobody judged what was created.
	Gaps []presence.Gap

	// seen are the objects of the last scan by UID, judged what was found out about
	// them. Both are replaced by each scan, so that nothing is kept that is gone.
	seen   map[string]seen
	judged map[key]*judged
}

// seen is what stays the same as long as an object does.
type seen struct {
	resourceVersion string
	key             key
	surroundings    uint64
}

// judged is a judgement with the image facts that it rests on.
type judged struct {
	Judgement
	images string
	// pinned are the references with a digest.
	pinned []string
	// broken marks one that was not made, and is tried again by the next scan.
	broken bool
}

// Problem is what a scan could not see.
type Problem struct {
	// What is the collection, or the object: deployments.apps.
	What string
	// Namespace is empty for all.
	Namespace string
	Err       error
}

// Error names it.
func (p Problem) Error() string {
	where := ""
	if p.Namespace != "" {
		where = fmt.Sprintf(" in namespace %q", p.Namespace)
	}
	return fmt.Sprintf("%s%s: %v", p.What, where, p.Err)
}

// Scan is what was found.
type Scan struct {
	// Workloads are by namespace, kind and name.
	Workloads []Workload
	// Namespaces are the names of those that were scanned, sorted.
	Namespaces []string
	// Exceptions are those of the rules, by name.
	Exceptions []Exception
	// Pinned are the references with a digest, Images what has become of some.
	Pinned []Pinned
	Images []report.PinnedImage
	// Denied are requests that were refused.
	Denied []report.Denied
	// Objects are all that were read, Judged those that had to be judged anew.
	Objects, Judged int
	// Problems are what could not be seen; with any, the scan is not of the whole
	// cluster.
	Problems []Problem
	// MoreProblems are those beyond the first hundred.
	MoreProblems int
	Started      time.Time
	Took         time.Duration
}

// Workload is an object that nothing else accounts for: nobody's, or one that says
// more than its owner.
type Workload struct {
	Kind            pod.Kind
	Namespace, Name string
	UID             string
	// Pods are those that it stands for: its own that say nothing else, or the
	// equal ones that a Pod speaks for.
	Pods int
	// Away is the gap in which the object was created although it would have been
	// refused; nil: it was not.
	Away *presence.Gap
	// policies are those of Rules.
	policies map[string]string
	*Judgement
}

// scanning is the state of one scan.
type scanning struct {
	*Scanner
	labels map[string]map[string]string // of namespaces, by name
	hashes map[string]uint64            // of labels, by namespace
	// gone are namespaces that are in no list any more.
	gone map[string]bool
	// unlisted are kinds of which not all objects could be seen.
	unlisted map[string]bool

	nextSeen   map[string]seen
	nextJudged map[key]*judged
	workers    errgroup.Group

	scan     *Scan
	mutex    sync.Mutex // of problems
	entities map[string]*entity
	order    []*entity // as listed: owners before what they own
	groups   map[group]*entity
}

// scanOrder has each kind after those that own it.
var scanOrder = []string{
	"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController", "PodTemplate", "ReplicaSet", "Job", "Pod",
}

// Scan scans once. The error says why there is nothing to report: the API server
// cannot be reached, or ctx has ended. What may not be seen is among the problems.
func (s *Scanner) Scan(ctx context.Context) (*Scan, error) {
	c := &scanning{
		Scanner: s, scan: &Scan{Started: time.Now()},
		labels: map[string]map[string]string{}, hashes: map[string]uint64{}, gone: map[string]bool{}, unlisted: map[string]bool{},
		nextSeen: make(map[string]seen, len(s.seen)), nextJudged: make(map[key]*judged, len(s.judged)),
		entities: map[string]*entity{}, groups: map[group]*entity{},
	}
	c.workers.SetLimit(judging)
	err := c.run(ctx)
	if stopped := c.workers.Wait(); err == nil {
		err = stopped
	}
	maps.DeleteFunc(c.nextJudged, func(_ key, j *judged) bool { return j.broken })
	if err != nil {
		s.resume(c)
		return nil, err
	}
	s.seen, s.judged = c.nextSeen, c.nextJudged
	c.fold()
	c.scan.Exceptions, c.scan.Pinned = c.exceptions(), c.pinned()
	c.scan.Namespaces = slices.Sorted(maps.Keys(c.labels))
	c.scan.Took = time.Since(c.scan.Started)
	return c.scan, nil
}

// resume keeps what a scan has found out that was interrupted, beside what was known
// before: the next one reads the lists again, and judges what is left.
func (s *Scanner) resume(c *scanning) {
	if s.seen == nil {
		s.seen, s.judged = map[string]seen{}, map[key]*judged{}
	}
	maps.Copy(s.seen, c.nextSeen)
	maps.Copy(s.judged, c.nextJudged)
}

func (c *scanning) run(ctx context.Context) error {
	if err := c.namespaces(ctx); err != nil {
		return err
	}
	c.refresh(ctx)
	kinds := pod.Kinds()
	for _, name := range scanOrder {
		kind := kinds[slices.IndexFunc(kinds, func(k pod.Kind) bool { return k.Name == name })]
		scopes := c.Namespaces
		if len(scopes) == 0 {
			scopes = []string{""}
		}
		for _, namespace := range scopes {
			if err := c.kind(ctx, kind, namespace, ""); err != nil {
				return err
			}
		}
	}
	return c.owners(ctx)
}

// kind lists the objects of one kind, all or those with certain fields.
func (c *scanning) kind(ctx context.Context, kind pod.Kind, namespace, fields string) error {
	var part *part
	begin := func() collector {
		part = newPart(c, kind)
		return func(object jsontext.Value) error { return part.add(ctx, object) }
	}
	err := list(ctx, c.Pager, Page{Path: collectionPath(kind.Group, kind.Version, kind.Resource, namespace), Fields: fields}, begin)
	if part != nil {
		part.commit() // of a list that broke off, too: what was seen is there
	}
	if err != nil {
		c.unlisted[kind.Name] = true
	}
	what := kind.Resource
	if kind.Group != "" {
		what += "." + kind.Group
	}
	return c.problem(ctx, what, namespace, err)
}

// problem notes what could not be seen. An error without an answer from the API
// server ends the scan.
func (c *scanning) problem(ctx context.Context, what, namespace string, err error) error {
	var answer apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &answer):
		return fmt.Errorf("listing %s: %w", what, err)
	}
	c.note(Problem{what, namespace, err})
	return nil
}

func (c *scanning) note(p Problem) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.scan.Problems) == maxProblems {
		c.scan.MoreProblems++
		return
	}
	c.scan.Problems = append(c.scan.Problems, p)
}

// refresh forgets judgements that rest on what images do not say any more: tags
// move, and registries come back.
func (c *scanning) refresh(ctx context.Context) {
	var mutex sync.Mutex
	var stale []key
	var workers errgroup.Group
	workers.SetLimit(judging)
	for k, j := range c.judged {
		if len(j.Needs) == 0 {
			continue
		}
		workers.Go(func() error {
			if images := fingerprint(c.Judge.Gather(ctx, j.Needs, j.Credentials)); images != j.images {
				mutex.Lock()
				defer mutex.Unlock()
				stale = append(stale, k)
			}
			return nil
		})
	}
	_ = workers.Wait() // none has an error
	for _, k := range stale {
		delete(c.judged, k)
	}
}

// judgement is the one for a key, known already or under way. Review returns what to
// judge and is called at most once.
func (c *scanning) judgement(ctx context.Context, k key, review func() (*engine.Review, error)) (*judged, error) {
	if j, ok := c.nextJudged[k]; ok {
		return j, nil
	}
	if j, ok := c.judged[k]; ok {
		c.nextJudged[k] = j
		return j, nil
	}
	r, err := review()
	if err != nil {
		return nil, err
	}
	j := &judged{pinned: pinnedImages(r.Workload)}
	c.nextJudged[k] = j
	c.scan.Judged++
	name := fmt.Sprintf("%s %s", r.Workload.Kind.Name, engine.Quote(r.Workload.DisplayName()))
	c.workers.Go(func() error {
		defer func() {
			// The process also answers reviews, and has to outlive a defect here.
			if cause := recover(); cause != nil {
				j.broken = true
				c.note(Problem{name, r.Namespace.Name, fmt.Errorf("judging it failed by a defect of Portcullis: %v", cause)})
			}
		}()
		j.Judgement = c.Judge.Judge(ctx, *r)
		j.images, j.Facts = fingerprint(j.Facts), nil
		j.broken = ctx.Err() != nil // it may not have waited for registries
		return ctx.Err()
	})
	return j, nil
}

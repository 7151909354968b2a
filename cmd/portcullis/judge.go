package main

import (
	"context"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
)

// namespaceNameLabel is the label that the API server sets on each namespace.
const namespaceNameLabel = "kubernetes.io/metadata.name"

// gatherTimeout bounds what one object waits for registries; at admission it is
// the API server that does.
const gatherTimeout = 30 * time.Second

// gatherer finds facts about images, all at once and within the deadline.
type gatherer interface {
	Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
}

// judge decides about objects as the webhook does about requests: the same
// engine, the same order of steps. It is safe for concurrent use.
type judge struct {
	engine   *engine.Engine
	policies *policies.Set
	// list is what policies were made of.
	list []*policies.PodPolicy
	// now is the time by which exceptions have ended.
	now time.Time
	// glass has who has passed policies; nil where nobody knows.
	glass brokenGlass
	// images knows about images; nil where nobody does.
	images gatherer
	// offline is set where images, if any, come from the lock alone.
	offline bool
	// lock is nil where there is none.
	lock *lock.Lock
	// namespaces are the labels of namespaces by name.
	namespaces map[string]map[string]string
	// selector is the name of a policy that selects namespaces by labels other than
	// their name, empty: there is none.
	selector string
}

// knows reports whether the labels of a namespace are known.
func (j *judge) knows(namespace string) bool {
	_, known := j.namespaces[namespace]
	return known
}

// judgement is what a judge decided about one workload.
type judgement struct {
	plan *engine.Plan
	// mutation is what the mutators changed, and what they could not; validation is
	// what is wrong with the workload after that.
	mutation, validation engine.Verdict
	// offline is set where no registry was asked, and locked where a lock was.
	offline, locked bool
	// glass has who has passed policies, and now is the time by which that has ended.
	glass brokenGlass
	now   time.Time
}

// review is the creation of a document's workload.
func (j *judge) review(d *input.Document) engine.Review {
	r := engine.Review{Workload: d.Workload, Namespace: j.namespace(d.Namespace), Now: j.now}
	if j.policies.ReadsObject() {
		// An object that was read is one that can be read again.
		r.Request.Object, _ = d.JSON()
	}
	return r
}

// namespace has the label that the API server sets on each.
func (j *judge) namespace(name string) engine.Namespace {
	labels := j.namespaces[name]
	if labels[namespaceNameLabel] == name {
		return engine.Namespace{Name: name, Labels: labels}
	}
	named := make(map[string]string, len(labels)+1)
	for key, value := range labels {
		named[key] = value
	}
	named[namespaceNameLabel] = name
	return engine.Namespace{Name: name, Labels: named}
}

// judge repairs the workload of a review, changing it, and judges what comes out.
func (j *judge) judge(ctx context.Context, r engine.Review) judgement {
	r.Request.Context = ctx
	plan := j.engine.Plan(r, j.policies)
	result := judgement{plan: plan, glass: j.glass, now: j.now, offline: j.images == nil || j.offline, locked: j.lock != nil}
	result.mutation = plan.Mutate(j.gather(ctx, plan, plan.MutationNeeds))
	result.validation = plan.Validate(j.gather(ctx, plan, plan.ValidationNeeds))
	return result
}

// gather finds the facts that the next step needs; nil where nobody is asked: a
// rule that needs one says so.
func (j *judge) gather(ctx context.Context, plan *engine.Plan, next func() []image.Need) image.Facts {
	if j.images == nil {
		return nil
	}
	needs := next()
	if len(needs) == 0 {
		return image.Facts{}
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	return j.images.Gather(ctx, needs, credentials(plan.Review))
}

// credentials are the pull secrets that a workload's pods use.
func credentials(r engine.Review) image.Credentials {
	who := image.Credentials{Namespace: r.Namespace.Name, ServiceAccount: r.Workload.Spec.ServiceAccountName}
	for _, s := range r.Workload.Spec.ImagePullSecrets {
		who.PullSecrets = append(who.PullSecrets, s.Name)
	}
	return who
}

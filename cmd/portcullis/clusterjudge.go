package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-dev/portcullis/audit"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// clusterJudge judges the workloads of a cluster as check judges those of files.
type clusterJudge struct {
	*judge
	version string
	matrix  *audit.Matrix
	// set is the number of the policies of a server.
	set int
	// offlineMatrix has the readiness found out without a question to a registry.
	offlineMatrix bool
}

// newClusterJudge makes one whose readiness is for some versions of the Pod Security
// levels. Version stands for the policies.
func newClusterJudge(j *judge, version string, versions []string) (*clusterJudge, error) {
	matrix, err := audit.NewMatrix(j.engine, versions)
	if err != nil {
		return nil, err
	}
	return &clusterJudge{judge: j, version: version, matrix: matrix}, nil
}

// Version stands for the policies.
func (c *clusterJudge) Version() string { return c.version }

// Rules are the policies by what they say, and all exceptions from them.
func (c *clusterJudge) Rules() audit.Rules {
	by := audit.Rules{Policies: map[string]string{}}
	for _, p := range c.policies.Policies() {
		by.Policies[p.Name] = p.Hash
	}
	for _, e := range c.policies.Exceptions() {
		use := report.ExceptionUse{Exemption: report.Exemption{Exception: e.String(), Owner: e.Owner, Reason: e.Reason}}
		if ends, counts := c.ends(e); counts {
			use.ExpiresAt = ends.UTC().Format(time.RFC3339)
		}
		by.Exceptions = append(by.Exceptions, use)
	}
	return by
}

// ends is when an exception ends for the first of its policies that it has not ended
// for, else when it ended for the last.
func (c *clusterJudge) ends(e *policies.CompiledException) (first time.Time, counts bool) {
	for _, p := range c.policies.Policies() {
		if end, named := e.Ends(p.Name); named && c.now.Before(end) && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	if first.IsZero() {
		return e.LastEnd()
	}
	return first, true
}

// Excepting are the exceptions that select a workload.
func (c *clusterJudge) Excepting(namespace string, w *pod.Workload) []string {
	var names []string
	for _, e := range engine.Excepting(c.policies, namespace, w) {
		names = append(names, e.String())
	}
	return names
}

// ReadsObject tells whether an expression of a policy that is for the workload does.
func (c *clusterJudge) ReadsObject(r engine.Review) bool {
	return c.policies.ReadsObjectOf(r.Target())
}

// lapsed are the policies for which an exception has ended that selects a workload.
func lapsed(set *policies.Set, r engine.Review) []string {
	var names []string
	for _, e := range engine.Excepting(set, r.Namespace.Name, r.Workload) {
		for _, p := range set.Policies() {
			if ends, named := e.Ends(p.Name); named && !r.Now.Before(ends) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// Gather asks the registries, within the time that one object has.
func (c *clusterJudge) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	if c.images == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	return c.images.Gather(ctx, needs, who)
}

// Judge decides about one workload.
func (c *clusterJudge) Judge(ctx context.Context, r engine.Review) audit.Judgement {
	return c.judgeDocument(ctx, r, &input.Document{Kind: r.Workload.Kind.Name, Workload: r.Workload})
}

// judgeDocument decides about the workload of a document, whose places the findings name.
func (c *clusterJudge) judgeDocument(ctx context.Context, r engine.Review, d *input.Document) audit.Judgement {
	if r.Workload.Spec == nil {
		return audit.Judgement{} // it can make no pods
	}
	r.Now = c.now
	j := *c.judge
	noted := &notedImages{images: c, facts: image.Facts{}}
	var images audit.Gatherer
	if j.images != nil {
		j.images, images = noted, noted
	}
	if c.offlineMatrix {
		images = nil
	}
	out := audit.Judgement{Credentials: credentials(r), Readiness: c.matrix.Judge(ctx, r, images)}
	decision := j.judge(ctx, r)
	results := resultsOf(d, decision)
	out.Matched = len(results) > 0
	for _, result := range results {
		if result.Result == report.Pass {
			out.Passed++
			continue
		}
		out.Findings = append(out.Findings, result)
	}
	out.Policies = policiesOf(decision.plan)
	out.Changes = append(reportChanges(decision.mutation.Edits), reportChanges(decision.mutation.Proposed)...)
	// Judgements are kept from scan to scan, and how long an exception lasts is not.
	out.Exceptions, out.Lapsed = exceptionUses(decision, time.Time{}), lapsed(j.policies, r)
	out.Needs, out.Facts = noted.needs, noted.facts
	return out
}

// policiesOf are the names of the policies whose rules are for a workload, each
// once. What the labels of a namespace ask for is not among them.
func policiesOf(plan *engine.Plan) []string {
	var names []string
	for _, r := range plan.Rules() {
		if !strings.HasPrefix(r.Policy, "Namespace/") && !slices.Contains(names, r.Policy) {
			names = append(names, r.Policy)
		}
	}
	return names
}

func reportChanges(edits []engine.Edit) []report.Change {
	changes := make([]report.Change, 0, len(edits))
	for _, e := range edits {
		changes = append(changes, report.Change{
			Policy: e.Policy, Rule: e.Rule, Mode: string(e.Mode), Container: e.Container,
			Field: e.Path.String(), Old: e.Old, New: e.New, Evidence: e.Evidence,
		})
	}
	return changes
}

// notedImages notes what another gatherer is asked while one workload is judged, and
// what it answers.
type notedImages struct {
	images gatherer
	needs  []image.Need
	facts  image.Facts
}

// Gather asks the other gatherer.
func (n *notedImages) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	facts := n.images.Gather(ctx, needs, who)
	for _, need := range needs {
		need.Fresh = false // it is of a request, and a scan is none
		n.needs = append(n.needs, need)
	}
	for name, fact := range facts {
		// Together, all that was asked about an image fails if one part of it does.
		if before, ok := n.facts[name]; !ok || before.Err == nil {
			n.facts[name] = fact
		}
	}
	return facts
}

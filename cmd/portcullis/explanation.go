package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// explanation is how the verdict on one object comes about.
type explanation struct {
	*explainer
	document *input.Document
	review   engine.Review
}

// line writes one line. Text of manifests, policies and registries is quoted by
// whoever puts it into args.
func (x *explanation) line(format string, args ...any) {
	fmt.Fprintf(x.out, format+"\n", args...)
}

func (x *explanation) write(ctx context.Context) {
	watched := &watchedImages{images: x.judge.images, facts: image.Facts{}}
	j := *x.judge
	if j.images != nil {
		j.images = watched
	}
	original := x.review.Workload.DeepCopy()
	begin := time.Now()
	decision := j.judge(ctx, x.review)
	took := time.Since(begin)
	results := resultsOf(x.document, decision)

	d := x.document
	x.line("%s, document %d: %s %s in namespace %s", engine.Quote(d.Source), d.Index, d.Kind, engine.Quote(d.Name), engine.Quote(d.Namespace))
	x.request()
	x.namespace()
	x.policies()
	x.edits(decision)
	x.checks(results)
	x.exceptions(decision)
	x.images(watched, original)
	if x.server != nil {
		x.dryRun(ctx)
	}
	x.line("  time: %s, of which registries took %s", took.Round(10*time.Microsecond), watched.took.Round(10*time.Microsecond))
	x.line("")
}

// request tells what is known of an update.
func (x *explanation) request() {
	if x.review.Old == nil {
		return
	}
	x.line("  request: an update, subresource %q", x.review.Subresource)
	if pod.SameTemplate(x.review.Old, x.review.Workload) {
		x.line("    what its pods run stays as it was, so that there is nothing to judge unless a refresh is asked for")
	}
}

func (x *explanation) namespace() {
	labels := x.review.Namespace.Labels
	x.line("  namespace")
	if !x.judge.knows(x.review.Namespace.Name) {
		x.line("    its labels are not known and taken for none: see --namespace-labels and --bundle")
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		x.line("    %s: %s", engine.Quote(key), engine.Quote(labels[key]))
	}
}

// policies tells which policies match, and of the others why not.
func (x *explanation) policies() {
	x.line("  policies")
	target := x.review.Target()
	matching := map[string]policies.Match{}
	for _, m := range x.judge.policies.Matching(nil, target) {
		matching[m.Policy.Name] = m
	}
	for _, p := range x.judge.list {
		if m, ok := matching[p.Name]; ok {
			x.line("    %s matches, mode %s", p.Name, m.Mode)
			continue
		}
		why, err := mismatch(p, target)
		if err != nil {
			why = err.Error()
		}
		x.line("    %s does not match: %s", p.Name, why)
	}
}

// edits tells what mutators change, and what those would that only watch.
func (x *explanation) edits(j judgement) {
	x.line("  repairs")
	for _, e := range j.mutation.Edits {
		x.line("    %s", editText(e, "set by"))
	}
	for _, e := range j.mutation.Proposed {
		why := "mode " + string(e.Mode) + " of"
		if e.Exempt != nil {
			why = e.Exempt.String() + ", from"
		}
		x.line("    %s", editText(e, "would be set, "+why))
	}
	if len(j.mutation.Edits)+len(j.mutation.Proposed) == 0 {
		x.line("    none")
	}
}

func editText(e engine.Edit, by string) string {
	var b strings.Builder
	if e.Container != "" {
		fmt.Fprintf(&b, "container %q: ", e.Container)
	}
	old := "not set"
	if e.Old != nil {
		old = engine.Quote(e.Old)
	}
	fmt.Fprintf(&b, "%s: %s -> %s, %s %s (%s)", e.Path, old, engine.Quote(e.New), by, e.Rule, e.Policy)
	if e.Evidence != "" {
		b.WriteString(", from " + unquoted(e.Evidence))
	}
	return b.String()
}

// checks tells the outcome of each rule.
func (x *explanation) checks(results []report.Result) {
	x.line("  rules")
	if len(results) == 0 {
		x.line("    none: nothing is judged")
	}
	for _, r := range results {
		rule := r.Rule
		if r.Check != "" {
			rule += "/" + r.Check
		}
		text := fmt.Sprintf("%-5s %s (%s, %s)", strings.ToUpper(string(r.Result)), rule, r.Policy, r.Mode)
		x.violated = x.violated || r.Result == report.Fail
		if r.Result == report.Pass {
			x.line("    %s", text)
			continue
		}
		container := ""
		if r.Container != "" {
			container = fmt.Sprintf("container %q: ", r.Container)
		}
		value := " is not set"
		switch {
		case r.Whole:
			value = ""
		case r.Value != nil:
			value = " is " + engine.Quote(r.Value)
		}
		x.line("    %s: %s%s%s: %s", text, container, r.Field, value, unquoted(r.Message))
		if r.Fix != "" {
			x.line("          fix: %s", unquoted(r.Fix))
		}
	}
}

// exceptions tells which exceptions cover the object, and what they are good for.
func (x *explanation) exceptions(j judgement) {
	uses := exceptionUses(j, x.review.Now)
	if len(uses) == 0 {
		return
	}
	x.line("  exceptions")
	for _, u := range uses {
		need := "needed"
		if u.Needed == 0 {
			need = "exempt, not needed"
		}
		soon := ""
		if u.EndsIn != "" {
			soon = ", which is in " + u.EndsIn
		}
		x.line("    %s of %s until %s%s: %s", u.Exception, engine.Quote(u.Owner), u.ExpiresAt, soon, need)
		x.line("          reason: %s", unquoted(u.Reason))
	}
}

// unquoted makes the control characters of a message visible and leaves its
// quotation marks as they are.
func unquoted(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, text)
}

// images tells what registries said.
func (x *explanation) images(watched *watchedImages, original *pod.Workload) {
	x.line("  images")
	if watched.images == nil {
		for i := range original.Images() {
			x.line("    %s: no registry was asked, see --online", engine.Quote(*i.Reference))
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(watched.facts)) {
		fact := watched.facts[name]
		from := ""
		if x.judge.lock != nil && x.judge.lock.Has(name) {
			from = ", from the lock"
		}
		x.line("    %s: %s%s", engine.Quote(name), unquoted(factText(fact)), from)
		for _, p := range fact.Platforms {
			x.line("      %s: USER %s", p, engine.Quote(p.User))
		}
	}
	switch {
	case x.judge.offline:
		x.line("    the lock has no more, and no registry was asked, see --online")
	case len(watched.facts) == 0:
		x.line("    no rule asked for any")
	}
}

func factText(f image.Fact) string {
	var parts []string
	if f.Digest != "" {
		parts = append(parts, f.Digest)
	}
	if f.Stale > 0 {
		parts = append(parts, fmt.Sprintf("as of %s ago, since the registry does not answer", f.Stale.Round(time.Second)))
	}
	if f.Err != nil {
		parts = append(parts, f.Err.Error())
	}
	return strings.Join(parts, ", ")
}

// watchedImages notes what another gatherer answers, and how long it takes.
type watchedImages struct {
	images gatherer
	facts  image.Facts
	took   time.Duration
}

// Gather asks the other gatherer.
func (w *watchedImages) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	begin := time.Now()
	facts := w.images.Gather(ctx, needs, who)
	w.took += time.Since(begin)
	maps.Copy(w.facts, facts)
	return facts
}

// dryRun tells what the cluster says.
func (x *explanation) dryRun(ctx context.Context) {
	x.line("  cluster")
	data, err := x.document.JSON()
	if err != nil {
		x.line("    not asked: %s", unquoted(err.Error()))
		return
	}
	answer := x.server.apply(ctx, x.document, data)
	for _, w := range answer.warnings {
		x.line("    warns: %s", unquoted(w))
	}
	if answer.err != nil {
		x.violated = true
		x.line("    refuses it: %s", strings.ReplaceAll(unquotedLines(answer.err.Error()), "\n", "\n    "))
		return
	}
	x.line("    would store it")
}

// unquotedLines is unquoted for a text of several lines.
func unquotedLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = unquoted(line)
	}
	return strings.Join(lines, "\n")
}

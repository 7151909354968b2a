package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// Exemption is why a finding leads to nothing.
type Exemption struct {
	Exception *policies.CompiledException
	// Mode is what the finding would have without the exception.
	Mode policies.Mode
	// Ends is when the exception ends for the policy of the finding.
	Ends time.Time
}

// String is the exemption for a log or a report: exempt (would fail) by
// portcullis-system/exporter of "team-observability" until 2026-12-31T23:59:59Z.
func (e *Exemption) String() string {
	would := "would be recorded"
	switch e.Mode {
	case policies.ModeEnforce:
		would = "would fail"
	case policies.ModeWarn:
		would = "would warn"
	}
	return fmt.Sprintf("exempt (%s) by %s of %s until %s", would, e.Exception, Quote(e.Exception.Owner), e.Ends.UTC().Format(time.RFC3339))
}

// ExceptionUse is an exception that selects a workload, and what it is good for
// there.
type ExceptionUse struct {
	Exception *policies.CompiledException
	// Mode is the strictest one that a finding or an edit would have without the
	// exception. Empty: it exempts nothing here, and is not needed.
	Mode policies.Mode
	// Ends is when the exception ends, for the first of the policies that match the
	// workload.
	Ends time.Time
}

// Ending warns of an exception that ends within a time from now on and without
// which the workload would be refused or warned about. It is empty for all
// others.
func (u ExceptionUse) Ending(now time.Time, within time.Duration) string {
	left := u.Left(now, within)
	if left == "" || u.Mode != policies.ModeEnforce && u.Mode != policies.ModeWarn {
		return ""
	}
	return fmt.Sprintf("exception %s, which exempts this from a policy, ends in %s (%s); its owner is %s",
		u.Exception, left, u.Ends.UTC().Format(time.RFC3339), Quote(u.Exception.Owner))
}

// Left is how long an exception lasts that ends within a time from now on, such as
// "3 days". It is empty for all others.
func (u ExceptionUse) Left(now time.Time, within time.Duration) string {
	left := u.Ends.Sub(now)
	if left >= within {
		return ""
	}
	unit, count := "second", int(left/time.Second)
	switch {
	case left >= 48*time.Hour:
		unit, count = "day", int(left/(24*time.Hour))
	case left >= 2*time.Hour:
		unit, count = "hour", int(left/time.Hour)
	case left >= 2*time.Minute:
		unit, count = "minute", int(left/time.Minute)
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", count, unit)
}

// NotNeeded are the exceptions that select a workload and are good for nothing
// there, by all verdicts about it: those of Mutate and of Validate.
func NotNeeded(verdicts ...Verdict) []*policies.CompiledException {
	var all []*policies.CompiledException
	used := map[*policies.CompiledException]bool{}
	for _, v := range verdicts {
		for _, u := range v.Exceptions {
			used[u.Exception] = used[u.Exception] || u.Mode != ""
			if !slices.Contains(all, u.Exception) {
				all = append(all, u.Exception)
			}
		}
	}
	return slices.DeleteFunc(all, func(e *policies.CompiledException) bool { return used[e] })
}

// Excepting are the exceptions that select a workload of a namespace; some may have
// ended. One for some containers or images alone selects those that have one of them:
// of any other workload it can exempt nothing, whatever is wrong there, and nobody is
// to read that it covers it.
func Excepting(set *policies.Set, namespace string, w *pod.Workload) []*policies.CompiledException {
	t := policies.ExceptionTarget{Kind: w.Kind.Name, Name: w.Metadata.Name, GenerateName: w.Metadata.GenerateName}
	if w.Template != nil {
		t.PodLabels = w.Template.Labels
	}
	var all []part
	return slices.DeleteFunc(set.Excepting(nil, namespace, t), func(e *policies.CompiledException) bool {
		if !e.Narrow() {
			return false
		}
		if all == nil {
			all = parts(w)
		}
		return !slices.ContainsFunc(all, func(p part) bool { return e.CoversContainer(p.container, p.image) })
	})
}

// part is a container of a workload with the name of its image, or an image that no
// container runs.
type part struct{ container, image string }

func parts(w *pod.Workload) []part {
	all := []part{}
	for c := range w.Containers() {
		all = append(all, part{c.Name, imageName(c.Image)})
	}
	for i := range w.Images() {
		if i.Container == nil { // an image volume
			all = append(all, part{"", imageName(*i.Reference)})
		}
	}
	return all
}

// inForce reports whether an exception counts for a policy, and until when.
func (p *Plan) inForce(e *policies.CompiledException, policy string) (ends time.Time, ok bool) {
	ends, named := e.Ends(policy)
	return ends, named && !p.Now.IsZero() && p.Now.Before(ends)
}

// exempt marks the findings of checks that an exception covers. Each finding
// needs one exception that covers all of it; if several do, the first by name is
// told. Findings by namespace labels have the name of no policy: Kubernetes would
// enforce the labels all the same.
func (p *Plan) exempt(v *Verdict) {
	if len(p.exceptions) == 0 {
		return
	}
	v.Exceptions = p.uses((*policies.CompiledException).Validates)
	for i := range v.Findings {
		f := &v.Findings[i]
		for j := range v.Exceptions {
			u := &v.Exceptions[j]
			ends, ok := p.inForce(u.Exception, f.Policy)
			if !ok || !covers(u.Exception, p.Workload, f.Finding) {
				continue
			}
			u.note(modeWithout(f))
			if f.Exempt == nil {
				f.Exempt = &Exemption{Exception: u.Exception, Mode: f.Mode, Ends: ends}
				f.Mode = policies.ModeAudit
			}
		}
	}
}

// modeWithout is the mode of a finding without exceptions.
func modeWithout(f *Finding) policies.Mode {
	if f.Exempt != nil {
		return f.Exempt.Mode
	}
	return f.Mode
}

// everExempt reports whether one of the exceptions that select the old object
// covers a finding about it, one that has ended included.
func (p *Plan) everExempt(exceptions []*policies.CompiledException, f Finding) bool {
	return slices.ContainsFunc(exceptions, func(e *policies.CompiledException) bool {
		_, named := e.Ends(f.Policy)
		return named && covers(e, p.Old, f.Finding)
	})
}

// oldExceptions are those that select the old object: its labels may differ.
func (p *Plan) oldExceptions() []*policies.CompiledException {
	if p.Now.IsZero() || p.set == nil {
		return nil
	}
	return Excepting(p.set, p.Namespace.Name, p.Old)
}

// uses are the exceptions in force for one of the policies that match.
func (p *Plan) uses(about func(*policies.CompiledException) bool) []ExceptionUse {
	var uses []ExceptionUse
	for _, e := range p.exceptions {
		if !about(e) {
			continue
		}
		u := ExceptionUse{Exception: e}
		for _, m := range p.matches {
			if ends, ok := p.inForce(e, m.Policy.Name); ok && (u.Ends.IsZero() || ends.Before(u.Ends)) {
				u.Ends = ends
			}
		}
		if !u.Ends.IsZero() {
			uses = append(uses, u)
		}
	}
	return uses
}

// note keeps the strictest mode.
func (u *ExceptionUse) note(mode policies.Mode) {
	if u.Mode == "" || mode.StricterThan(u.Mode) {
		u.Mode = mode
	}
}

// covers reports whether an exception covers rule, check, container and image of
// a finding about a workload.
func covers(e *policies.CompiledException, w *pod.Workload, f pod.Finding) bool {
	switch {
	case !e.CoversCheck(f.Rule, f.Check):
		return false
	case !e.Narrow():
		return true
	case f.Container != "":
		return coversContainers(e, w, append(f.Inheritors[:len(f.Inheritors):len(f.Inheritors)], f.Container))
	case len(f.Inheritors) > 0:
		return coversContainers(e, w, f.Inheritors)
	}
	for i := range w.Images() {
		if i.Container == nil && i.Path() == f.Path { // an image volume
			return e.CoversContainer("", imageName(*i.Reference))
		}
	}
	return false // it is about the pod as a whole
}

// coversContainers reports whether all containers of some names are covered, and
// that there are such.
func coversContainers(e *policies.CompiledException, w *pod.Workload, names []string) bool {
	found := map[string]bool{}
	for c := range w.Containers() {
		if !slices.Contains(names, c.Name) {
			continue
		}
		if !e.CoversContainer(c.Name, imageName(c.Image)) {
			return false
		}
		found[c.Name] = true
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !found[name] })
}

// imageName is the canonical name, empty for what is no reference.
func imageName(reference string) string {
	parsed, err := image.ParseReference(reference)
	if err != nil {
		return ""
	}
	return parsed.Name()
}

// exemptMutator makes a mutator watch that an exception leaves out.
func (p *Plan) exemptMutator(u *use) {
	for _, e := range p.exceptions {
		ends, ok := p.inForce(e, u.match.Policy.Name)
		if ok && e.CoversMutator(u.rule) {
			u.exempt = &Exemption{Exception: e, Mode: u.mode, Ends: ends}
			u.mode = policies.ModeAudit
			return
		}
	}
}

// addExempt takes findings of a mutator that watches.
func (v *Verdict) addExempt(u use, findings []pod.Finding) {
	before := len(v.Findings)
	v.add(u.match, u.mode, findings)
	for i := range v.Findings[before:] {
		v.Findings[before+i].Exempt = u.exempt
	}
}

// countMutatorExemptions lists the exceptions from mutators.
func (p *Plan) countMutatorExemptions(v *Verdict) {
	if len(p.exceptions) == 0 {
		return
	}
	v.Exceptions = p.uses((*policies.CompiledException).Mutates)
	count := func(policy, rule string, exempt *Exemption) {
		for i := range v.Exceptions {
			u := &v.Exceptions[i]
			if _, ok := p.inForce(u.Exception, policy); ok && exempt != nil && u.Exception.CoversMutator(rule) {
				u.note(exempt.Mode)
			}
		}
	}
	for _, f := range v.Findings {
		count(f.Policy, f.Rule, f.Exempt)
	}
	for _, e := range v.Proposed {
		count(e.Policy, e.Rule, e.Exempt)
	}
}

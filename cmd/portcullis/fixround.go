package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
	"github.com/portcullis-dev/portcullis/validate"
)

// round is one judgement of a unit as it stands, and what is to be changed after it.
type round struct {
	*unit
	*deriver
	// judged are by unit.workloads.
	judged  []judgement
	changes []change
}

// run judges the text and finds the next changes: those of the mutators first, since
// findings are about what those leave. It returns false where the text does not have
// the objects any more.
func (r *round) run(ctx context.Context) bool {
	r.judged, r.changes = r.judged[:0], nil
	mutations, fixes := newPlanned(r), newPlanned(r)
	for d, p := range r.file.With(r.text).Documents() {
		if p != nil || d.Workload == nil {
			continue
		}
		item := len(r.judged)
		if item == len(r.workloads) || d.Name != r.workloads[item].Name || d.Item != r.workloads[item].Item {
			return false
		}
		moved := r.moved(item, d.Workload)
		judged := r.judge.judge(ctx, r.judge.review(d))
		r.judged = append(r.judged, judged)
		mutations.add(moved...)
		mutations.add(r.mutations(item, judged)...)
		fixes.add(r.remedies(item, judged)...)
		fixes.add(r.derived(ctx, item, judged)...)
	}
	r.changes = mutations.changes
	if len(r.changes) == 0 {
		r.changes = fixes.changes
	}
	return len(r.judged) == len(r.workloads)
}

// planned are changes of one step of a round.
type planned struct {
	round   *round
	changes []change
	taken   map[pod.Path]bool
}

func newPlanned(r *round) *planned { return &planned{round: r, taken: map[pod.Path]bool{}} }

// add takes in changes of fields that no other one changes, and that the text did
// not refuse.
func (p *planned) add(changes ...change) {
	for _, c := range changes {
		c.edit.Path = p.round.workloads[c.item].Path(c.field)
		if p.round.refused[c.key()] == nil && !p.taken[c.edit.Path] {
			p.taken[c.edit.Path] = true
			p.changes = append(p.changes, c)
		}
	}
}

// mutations are what the mutators set. What a policy with mode Warn proposes is what
// it tells users, and is set too; what one with mode Audit would do is nobody's but
// the auditor's.
func (v *deriver) mutations(item int, j judgement) []change {
	var all []change
	for _, e := range slices.Concat(j.mutation.Edits, j.mutation.Proposed) {
		if e.Mode == policies.ModeAudit {
			continue
		}
		made := e.Edit
		if old, ok := e.Old.(string); ok && e.Rule == mutate.DigestsRule && v.judge.lock != nil && v.judge.lock.Has(old) {
			made.Evidence = "the lock"
		}
		all = append(all, changesOf(item, e.Rule, []mutate.Edit{made})...)
	}
	return all
}

// pinnedAnnotation is where the webhook notes its digests. It is never changed.
var pinnedAnnotation = pod.Path{}.Child("metadata").Child("annotations").Key(mutate.PinnedAnnotation)

// remedies are the fixes of findings that are right for sure.
func (v *deriver) remedies(item int, j judgement) []change {
	var all []change
	for _, f := range j.validation.Findings {
		if f.Edit != nil && (v.override || !decided(f) && !impossible(f, j.plan.Workload)) {
			all = append(all, change{item: item, edit: *f.Edit, field: f.Path, rule: ruleOf(f), container: f.Container, finding: &f})
		}
	}
	return all
}

// decided reports whether the fix of a finding takes something away that the author
// of the manifest has asked for. To drop more capabilities than they did does not.
func decided(f engine.Finding) bool {
	return f.Edit.Old != nil && !strings.HasSuffix(f.Path.String(), ".capabilities.drop")
}

// impossible reports whether a fix would make an object that no API server takes as
// long as what its author has asked for is there: allowPrivilegeEscalation cannot be
// false in a container that is privileged or has SYS_ADMIN
// (https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go, ValidateSecurityContext).
func impossible(f engine.Finding, w *pod.Workload) bool {
	if f.Check != string(security.PrivilegeEscalation) {
		return false
	}
	for c := range w.Containers() {
		sc := c.SecurityContext
		if c.Name != f.Container || sc == nil {
			continue
		}
		if sc.Privileged != nil && *sc.Privileged {
			return true
		}
		if sc.Capabilities != nil && slices.ContainsFunc(sc.Capabilities.Add, func(a corev1.Capability) bool { return a == "SYS_ADMIN" || a == "CAP_SYS_ADMIN" }) {
			return true
		}
	}
	return false
}

func ruleOf(f engine.Finding) string {
	if f.Check == "" {
		return f.Rule
	}
	return f.Rule + "/" + f.Check
}

// moved are the digests that the lock has others for, with --update.
func (r *round) moved(item int, w *pod.Workload) []change {
	if r.judge.lock == nil || !r.update {
		return nil
	}
	var all []change
	for i := range w.Images() {
		ref, err := image.ParseReference(*i.Reference)
		if err != nil {
			continue
		}
		if digest := r.judge.lock.Other(ref); digest != "" {
			c := change{item: item, field: i.Path(), rule: mutate.DigestsRule, evidence: "the lock"}
			c.edit = pod.Edit{Path: i.Path(), Old: *i.Reference, New: ref.Pin(digest)}
			if i.Container != nil {
				c.container = i.Name
			}
			all = append(all, c)
		}
	}
	return all
}

// broken says which finding is still there that was said to be fixed, or that there
// was no end to changes; empty where all is well.
func (r *round) broken() string {
	if len(r.changes) > 0 {
		return fmt.Sprintf("after %d rounds there was still something to change", maxRounds)
	}
	for _, c := range r.made {
		if c.finding == nil {
			continue
		}
		for _, f := range r.judged[c.item].validation.Findings {
			if f.Rule == c.finding.Rule && f.Check == c.finding.Check && f.Path == c.field {
				return "its fix does not hold: " + c.text()
			}
		}
	}
	return ""
}

// left are the results after the repair that somebody has to look at: with the places
// of the file as it was, and the reasons why they were not fixed.
func (r *round) left() []report.Result {
	var all []report.Result
	for item, j := range r.judged {
		d := r.workloads[item]
		for _, result := range resultsOf(d, j) {
			if result.Result == report.Pass {
				continue
			}
			if why := r.refusal(item, j, result); why != "" {
				result.Message += "; it is not fixed because " + why
			}
			all = append(all, result)
		}
		all = append(all, r.stranded(item)...)
		for _, c := range r.mutations(item, j) {
			c.edit.Path = d.Path(c.field)
			if err := r.refused[c.key()]; err != nil {
				result := c.result(d, report.Skip)
				result.Message = strings.Replace(c.text(), " is ", " would be ", 1) + "; it is not written because " + err.Error() + "; the webhook sets it"
				all = append(all, result)
			}
		}
	}
	return all
}

// stranded are the digests that are still not those of the lock.
func (r *round) stranded(item int) []report.Result {
	d := r.workloads[item]
	all := r.judge.stranded(d)
	if !r.update {
		for i := range all {
			all[i].Message += "; it is not fixed because that takes --update"
		}
		return all
	}
	refused := map[string]error{}
	for _, c := range r.moved(item, d.Workload) {
		c.edit.Path = d.Path(c.field)
		if err := r.refused[c.key()]; err != nil {
			refused[c.field.String()] = err
		}
	}
	all = slices.DeleteFunc(all, func(result report.Result) bool { return refused[result.Field] == nil })
	for i := range all {
		all[i].Message += "; it is not fixed because " + refused[all[i].Field].Error()
	}
	return all
}

// refusal is why a result was not mended, empty where nobody can say more than the
// result itself.
func (r *round) refusal(item int, j judgement, result report.Result) string {
	for _, f := range j.validation.Findings {
		if f.Rule != result.Rule || f.Check != result.Check || f.Path.String() != result.Field {
			continue
		}
		switch {
		case f.Edit != nil:
			edit := *f.Edit
			edit.Path = r.workloads[item].Path(f.Path)
			if err := r.refused[keyOf(edit)]; err != nil {
				return err.Error()
			}
			switch {
			case r.override:
			case decided(f):
				return "the manifest sets it, which is for somebody to decide; --override changes it"
			case impossible(f, j.plan.Workload):
				return "Kubernetes takes it in no container that is privileged or has SYS_ADMIN, which is for somebody to decide first"
			}
		case f.Rule != validate.PodSecurityRule:
		case f.Check != string(security.NonRoot) && f.Check != string(security.Capabilities):
			return "what is right instead is for somebody to choose"
		case saysRoot(f, j.plan.Workload):
			return "the manifest says that root runs there (runAsUser: 0)"
		case j.offline:
			return "nothing in the manifest says who runs there (runAsUser), and no image was asked (--online)"
		default:
			return "neither the manifest nor the image says that who runs there is a number above 0"
		}
	}
	return ""
}

// saysRoot reports whether the manifest has root run in what a finding is about.
func saysRoot(f engine.Finding, w *pod.Workload) bool {
	for c := range w.Containers() {
		if uid := w.RunAsUser(c); uid != nil && *uid == 0 && (f.Container == "" || f.Container == c.Name) {
			return true
		}
	}
	return false
}

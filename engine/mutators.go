package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// mutator is one section of spec.mutate.
type mutator struct {
	rule string
	// section is what every section has, nil where the policy does not have it.
	section func(c *policies.Compiled) *policies.CompiledMutator
	// imagesOnly marks the mutator that edits references to images, which the API
	// server lets change where the rest of a pod stays as it is.
	imagesOnly bool
	// needs are the image facts that apply asks for.
	needs func(s mutate.Scope, c *policies.Compiled) []image.Need
	apply func(r *mutate.Recorder, in mutation, c *policies.Compiled) []pod.Finding
	// watch says what apply would do, for a policy that only watches. Nil: apply
	// itself says so, on a copy of the workload.
	watch func(s mutate.Scope) []pod.Finding
}

// mutation is what a mutator may look at.
type mutation struct {
	mutate.Scope
	// facts are by reference as written, and by the one that it was pinned to.
	facts image.Facts
}

// mutators are all sections, in the order in which they change a workload. It is
// never changed.
var mutators = []mutator{pinDigests, injectProbes, injectLogging, harden}

var pinDigests = mutator{
	rule: mutate.DigestsRule,
	section: func(c *policies.Compiled) *policies.CompiledMutator {
		if c.Digests == nil {
			return nil
		}
		return &c.Digests.CompiledMutator
	},
	imagesOnly: true,
	needs:      func(s mutate.Scope, _ *policies.Compiled) []image.Need { return mutate.DigestNeeds(s) },
	apply: func(r *mutate.Recorder, in mutation, _ *policies.Compiled) []pod.Finding {
		return mutate.Digests(r, in.Scope, in.facts)
	},
	// A policy that only watches asks no registry what a tag stands for.
	watch: mutate.Unpinned,
}

var injectProbes = mutator{
	rule: mutate.ProbesRule,
	section: func(c *policies.Compiled) *policies.CompiledMutator {
		if c.Probes == nil {
			return nil
		}
		return &c.Probes.CompiledMutator
	},
	needs: func(s mutate.Scope, c *policies.Compiled) []image.Need {
		return mutate.ProbeNeeds(s.Workload, c.Probes)
	},
	apply: func(r *mutate.Recorder, in mutation, c *policies.Compiled) []pod.Finding {
		return mutate.Probes(r, in.Workload, c.Probes, in.facts)
	},
}

var injectLogging = mutator{
	rule: mutate.LoggingRule,
	section: func(c *policies.Compiled) *policies.CompiledMutator {
		if c.Logging == nil {
			return nil
		}
		return &c.Logging.CompiledMutator
	},
	needs: func(s mutate.Scope, c *policies.Compiled) []image.Need {
		return mutate.LoggingNeeds(s.Workload, c.Logging)
	},
	apply: func(r *mutate.Recorder, in mutation, c *policies.Compiled) []pod.Finding {
		return mutate.Logging(r, in.Workload, c.Logging, in.facts)
	},
}

var harden = mutator{
	rule: mutate.HardeningRule,
	section: func(c *policies.Compiled) *policies.CompiledMutator {
		if c.Hardening == nil {
			return nil
		}
		return &c.Hardening.CompiledMutator
	},
	needs: func(s mutate.Scope, c *policies.Compiled) []image.Need {
		return mutate.HardeningNeeds(s.Workload, c.Hardening)
	},
	apply: func(r *mutate.Recorder, in mutation, c *policies.Compiled) []pod.Finding {
		return mutate.Harden(r, in.Workload, c.Hardening, in.facts)
	},
}

// MutationNeeds are the image facts that Mutate will ask for.
func (p *Plan) MutationNeeds() []image.Need {
	var needs []image.Need
	var pinned map[string][]string
	scope := p.scope()
	p.eachMutator(func(u use) {
		switch {
		case u.skipped() || u.watch != nil && u.mode != policies.ModeEnforce:
		case u.imagesOnly:
			if pinned == nil {
				pinned = scope.Pinned()
				needs = append(needs, u.needs(scope, u.match.Policy)...)
			}
		default:
			needs = append(needs, asPinned(u.needs(scope, u.match.Policy), pinned, scope.Refreshed())...)
		}
	})
	return needs
}

// asPinned turns needs for references as written into those for what will run. One
// that many containers share may be pinned in as many ways, and is turned once.
func asPinned(needs []image.Need, pinned map[string][]string, fresh bool) []image.Need {
	var all []image.Need
	turned := map[image.Need]bool{}
	for _, need := range needs {
		references, ok := pinned[need.Image]
		if !ok {
			all = append(all, need)
			continue
		}
		if turned[need] {
			continue
		}
		turned[need] = true
		for _, reference := range references {
			need.Image, need.Fresh = reference, fresh
			all = append(all, need)
		}
	}
	return all
}

// Mutate carries out the mutators of all matching policies and changes the
// workload: one mutator after the other, and each for the policies in the order
// of their names. A policy that does not enforce its mutator changes nothing and
// says what it would change.
func (p *Plan) Mutate(facts image.Facts) Verdict {
	var v Verdict
	in := mutation{Scope: p.scope(), facts: facts}
	watchers := false
	p.eachMutator(func(u use) {
		switch {
		case u.skipped():
			v.add(u.match, policies.ModeAudit, []pod.Finding{u.skipFinding()})
		case u.mode != policies.ModeEnforce:
			watchers = true
		default:
			var r mutate.Recorder
			v.add(u.match, u.mode, u.apply(&r, in, u.match.Policy))
			v.Edits = u.edits(v.Edits, &r)
			if u.imagesOnly {
				in.facts = alsoPinned(in.facts, in.Workload, r.Edits())
			}
		}
	})
	if watchers {
		p.watch(&v, in)
	}
	p.judgeSkips(&v)
	p.judgeAnnotations(&v)
	p.countMutatorExemptions(&v)
	p.noteEnforcing(&v)
	return v.strictest()
}

// Repairs reports whether a mutator changes the workload for some policy. One that
// only watches, is left out or is exempt repairs nothing, whatever registries say.
func (p *Plan) Repairs(rule string) bool {
	repairs := false
	p.eachMutator(func(u use) {
		repairs = repairs || u.rule == rule && u.mode == policies.ModeEnforce && !u.skipped()
	})
	return repairs
}

// watch adds what the policies that only watch would change: they see what those
// that enforce have left.
func (p *Plan) watch(v *Verdict, in mutation) {
	copied := false
	p.eachMutator(func(u use) {
		if u.mode == policies.ModeEnforce || u.skipped() {
			return
		}
		if u.watch != nil {
			v.addExempt(u, u.watch(in.Scope))
			return
		}
		if !copied {
			in.Workload, copied = in.Workload.DeepCopy(), true
		}
		var r mutate.Recorder
		v.addExempt(u, u.apply(&r, in, u.match.Policy))
		v.Proposed = u.edits(v.Proposed, &r)
	})
}

// alsoPinned adds what is known of tags under the references that run: those that
// were written anew, and those of which a refresh has found that the tag still stands
// for the same, or has found nothing out.
func alsoPinned(facts image.Facts, w *pod.Workload, edits []mutate.Edit) image.Facts {
	all, copied := facts, false
	add := func(pinned, asked string) {
		_, digest, _ := strings.Cut(pinned, "@")
		fact, ok := facts[asked]
		if _, known := all[pinned]; known || !ok || digest == "" {
			return
		}
		if fact.Digest != digest && (fact.Digest != "" || fact.Err == nil) {
			return // of something else
		}
		if !copied {
			all, copied = maps.Clone(facts), true
		}
		all[pinned] = fact
	}
	for _, e := range edits {
		old, _ := e.Old.(string)
		pinned, _ := e.New.(string)
		tag, _, _ := strings.Cut(old, "@")
		add(pinned, tag)
	}
	for i := range w.Images() {
		tag, _, _ := strings.Cut(*i.Reference, "@")
		add(*i.Reference, tag)
	}
	return all
}

// use is a mutator as one policy uses it on a workload.
type use struct {
	*mutator
	match    policies.Match
	settings *policies.CompiledMutator
	mode     policies.Mode
	skip     *skips
	// exempt is set where an exception leaves the mutator out, which then watches.
	exempt *Exemption
}

// edits adds what a recorder holds, in the name of the policy.
func (u use) edits(all []Edit, r *mutate.Recorder) []Edit {
	made := r.Edits()
	if free := cap(all) - len(all); free < len(made) {
		all = slices.Grow(all, len(mutators)*len(made))
	}
	for _, e := range made {
		all = append(all, Edit{Edit: e, Policy: u.match.Policy.Name, Mode: u.mode, Exempt: u.exempt})
	}
	return all
}

// eachMutator visits what may change the workload: each mutator, and for each
// the policies by name.
func (p *Plan) eachMutator(visit func(use)) {
	skip := p.skips()
	for i := range mutators {
		m := &mutators[i]
		if !m.imagesOnly && !p.templateMutable() {
			continue
		}
		for _, match := range p.matches {
			if s := m.section(match.Policy); s != nil && p.mutable(s) {
				u := use{mutator: m, match: match, settings: s, mode: match.ModeOf(s.Mode), skip: skip}
				p.exemptMutator(&u)
				visit(u)
			}
		}
	}
}

package main

import (
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/mutate"
)

// repair says that what a mutator would have set satisfies a check.
type repair struct {
	mutator     string
	rule, check string // an empty check stands for all of the rule
}

// repairs are the findings that the cluster may not have, because a mutator that
// could not ask a registry would have repaired what they are about. It is never
// changed.
var repairs = []repair{
	{"digests", "digests", "required"},
	{"hardening", "podSecurity", "runAsNonRoot"},
	{"hardening", "rootUser", "neverStarts"},
	{"probes", "probes", ""},
	{"logging", "logging", ""},
}

// unanswered tells findings that nobody can vouch for without a registry from
// those that hold: they stand for an answer that was not asked for, or for a
// repair that needs one.
type unanswered struct {
	offline bool
	// locked is set where a lock had no answer either.
	locked bool
	// mutators are those that repair and could not do their work, with the container
	// that they could not do it for.
	mutators []engine.Finding
}

func newUnanswered(j judgement) unanswered {
	u := unanswered{offline: j.offline, locked: j.locked}
	if !j.offline {
		return u
	}
	for _, f := range j.mutation.Findings {
		if f.NoAnswer && j.plan.Repairs(f.Rule) {
			u.mutators = append(u.mutators, f)
		}
	}
	return u
}

// reason is why a finding is skipped, empty where it holds.
func (u unanswered) reason(f engine.Finding) string {
	switch {
	case f.Unknown && f.Advisory:
		return f.Message // what only admission knows
	case !u.offline:
		return ""
	case f.NoAnswer:
		return u.asked(f.Rule) + ": " + f.Message
	}
	for _, m := range u.mutators {
		if m.Container != "" && f.Container != "" && m.Container != f.Container {
			continue
		}
		for _, r := range repairs {
			if r.mutator == m.Rule && r.rule == f.Rule && (r.check == "" || r.check == f.Check) {
				return u.asked(f.Rule) + ", and mutate." + r.mutator + " may repair it: " + f.Message
			}
		}
	}
	return ""
}

// asked says where an answer is to be had.
func (u unanswered) asked(rule string) string {
	if u.locked && rule == mutate.DigestsRule {
		return "the lock has no digest of it, and a registry would have to be asked (--online)"
	}
	return "a registry would have to be asked (--online)"
}

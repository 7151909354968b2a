package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// deriver mends findings by what images say, where a policy has the
// check and not the mutator that would do so.
type deriver struct {
	judge *judge
	// users sets runAsUser and runAsNonRoot where they are known.
	users *policies.CompiledHardening
	// update: all digests of tags that the lock has become those of the lock.
	update bool
	// override: what a manifest sets itself is changed too.
	override bool
}

func newDeriver(j *judge) (*deriver, error) {
	set, err := policies.Compile([]*policies.PodPolicy{usersPolicy()})
	if err != nil {
		return nil, fmt.Errorf("preparing to set users: %w", err)
	}
	for _, m := range set.Matching(nil, policies.Target{Namespace: "default", Kind: "Pod"}) {
		return &deriver{judge: j, users: m.Policy.Hardening}, nil
	}
	return nil, errors.New("preparing to set users: the policy for it does not match")
}

func usersPolicy() *policies.PodPolicy {
	p := &policies.PodPolicy{}
	p.Name = "users"
	p.Spec.Mutate = policies.MutateSpec{Hardening: &policies.Hardening{
		Fields: []policies.HardeningField{policies.HardenUser, policies.HardenNonRoot},
	}}
	policies.Default(p)
	return p
}

// derived are the changes for findings that an image can mend: the digest that
// validate.digests asks for, and the user that podSecurity does.
func (v *deriver) derived(ctx context.Context, item int, j judgement) []change {
	if v.judge.images == nil {
		return nil
	}
	var all []change
	if has(j.validation, validate.DigestsRule, "required") && !has(j.mutation, mutate.DigestsRule, "") {
		scope := mutate.Scope{Workload: j.plan.Workload.DeepCopy()}
		facts := v.judge.gather(ctx, j.plan, func() []image.Need { return mutate.DigestNeeds(scope) })
		var r mutate.Recorder
		mutate.Digests(&r, scope, facts)
		all = append(all, changesOf(item, validate.DigestsRule+"/required", r.Edits())...)
	}
	if !v.judge.offline && has(j.validation, validate.PodSecurityRule, string(security.NonRoot)) {
		w := j.plan.Workload.DeepCopy()
		facts := v.judge.gather(ctx, j.plan, func() []image.Need { return mutate.HardeningNeeds(w, v.users) })
		var r mutate.Recorder
		mutate.Harden(&r, w, v.users, facts)
		all = append(all, changesOf(item, validate.PodSecurityRule+"/"+string(security.NonRoot), r.Edits())...)
	}
	return all
}

func has(v engine.Verdict, rule, check string) bool {
	return slices.ContainsFunc(v.Findings, func(f engine.Finding) bool { return f.Rule == rule && f.Check == check })
}

// changesOf are the edits of a mutator that belong into a file. The annotation that
// says which digests are Portcullis' own does not: a digest in a file is that of
// whoever keeps it.
func changesOf(item int, rule string, edits []mutate.Edit) []change {
	var all []change
	for _, e := range edits {
		if e.Path == pinnedAnnotation {
			continue
		}
		all = append(all, change{item: item, edit: e.Edit, field: e.Path, rule: rule, container: e.Container, evidence: e.Evidence})
	}
	return all
}

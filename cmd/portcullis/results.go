package main

import (
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// resultsOf writes a judgement as results: one for each finding, and a pass for
// each rule that found nothing. A rule of one policy is no pass where the same rule
// of another one found something: what both find is listed once, for the stricter.
func resultsOf(d *input.Document, j judgement) []report.Result {
	rules := j.plan.Rules()
	results := make([]report.Result, 0, len(rules)+len(j.mutation.Findings)+len(j.validation.Findings))
	skip := newUnanswered(j)
	glass := newGlassNotes(j)
	found := map[string]bool{}
	for _, findings := range [][]engine.Finding{j.mutation.Findings, j.validation.Findings} {
		for _, f := range findings {
			found[f.Rule] = true
			result := resultOf(d, f, skip)
			glass.note(&result, f)
			results = append(results, result)
		}
	}
	if err := j.validation.LabelError; err != nil {
		results = append(results, labelResult(d, j.plan, err))
	}
	for _, r := range rules {
		if !found[r.Rule] {
			pass := objectResult(d)
			pass.Policy, pass.Rule, pass.Mode, pass.Result = r.Policy, r.Rule, string(r.Mode), report.Pass
			results = append(results, pass)
		}
	}
	return results
}

// objectResult has what all results about an object have.
func objectResult(d *input.Document) report.Result {
	return report.Result{Source: d.Source, Document: d.Index, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
}

func resultOf(d *input.Document, f engine.Finding, skip unanswered) report.Result {
	r := objectResult(d)
	r.Line, r.Column = d.Position(f.Path)
	r.Policy, r.Rule, r.Check, r.Mode = f.Policy, f.Rule, f.Check, string(f.Mode)
	r.Container, r.Field, r.Value = f.Container, f.Path.String(), f.Value
	r.Message, r.Fix = f.Message, f.Fix
	if f.Whole {
		r.Value, r.Whole = nil, true
	}
	r.Result = report.Warn
	if f.Mode == policies.ModeEnforce {
		r.Result = report.Fail
	}
	if f.Existing {
		r.Message = "tolerated in this update because it was so before: " + r.Message
	}
	if f.Exempt != nil {
		r.Result, r.Mode, r.Message = report.Skip, string(f.Exempt.Mode), f.Exempt.String()+": "+f.Message
		r.Exemption = exemptionOf(f.Exempt)
	}
	if reason := skip.reason(f); reason != "" {
		r.Result, r.Message, r.Exemption = report.Skip, reason, nil
	}
	return r
}

// labelResult tells that a namespace's Pod Security labels are not right. What
// they lead to nevertheless are findings of their own.
func labelResult(d *input.Document, plan *engine.Plan, err error) report.Result {
	r := objectResult(d)
	r.Line, r.Column = d.Position(d.Item)
	r.Policy, r.Rule, r.Mode, r.Result = "Namespace/"+plan.Namespace.Name, "podSecurity", string(policies.ModeWarn), report.Warn
	r.Message = "a Pod Security label of the namespace is wrong: " + err.Error()
	r.Fix = "set it to privileged, baseline or restricted, and a version to latest or v1.N"
	return r
}

// problemResult is what could not be judged.
func problemResult(p *input.Problem) report.Result {
	return report.Result{
		Source: p.Source, Document: p.Document, Line: p.Line, Column: p.Column,
		Rule: report.InputRule, Result: report.Error, Field: p.Field, Message: p.Message,
	}
}

package engine

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// Finding is what one policy says about one field of a workload, and how serious
// it is about it.
type Finding struct {
	pod.Finding
	// Policy is the name of the policy, or Namespace/NAME for what the labels
	// pod-security.kubernetes.io/* of the namespace say.
	Policy string
	// Mode says what the finding leads to: Enforce denies, Warn warns, Audit is
	// only recorded.
	Mode policies.Mode
	// Existing marks a finding that was there before an update and is tolerated:
	// existingViolations is Allow.
	Existing bool
	// Exempt is set where an exception covers the finding. Mode is then Audit: it is
	// only recorded, as exempt (would fail).
	Exempt *Exemption
	// Glass is set where somebody broke the glass. Mode is then Audit.
	Glass *Glass
}

// Edit is the change of one field by the mutator of a policy.
type Edit struct {
	mutate.Edit
	Policy string
	// Mode is Enforce for an edit that was made, Warn or Audit for one that would
	// be made if the policy enforced its mutator.
	Mode policies.Mode
	// Exempt is set where an exception leaves the mutator out: the edit would be
	// made without it.
	Exempt *Exemption
}

// Verdict is the outcome of a review.
type Verdict struct {
	// Edits are the changes that mutators made, in their order.
	Edits []Edit
	// Proposed are the changes that mutators would make which only watch.
	Proposed []Edit
	// Findings are what is wrong, the strictest first.
	Findings []Finding
	// Exceptions are those that select the workload and are about what the verdict
	// decides, with what became of them. None of them has ended.
	Exceptions []ExceptionUse
	// Enforcing are the policies with a finding that denies, where the workload asks
	// for passing them by BreakGlassAnnotation. Namespace/NAME stands for labels.
	Enforcing []string
	// LabelError is what is wrong with the namespace's Pod Security labels.
	LabelError error
}

// Denied reports whether a finding denies the workload.
func (v Verdict) Denied() bool {
	return slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Mode == policies.ModeEnforce })
}

// Changes are the edits without their reasons, for pod.Patch.
func (v Verdict) Changes() []pod.Edit {
	changes := make([]pod.Edit, len(v.Edits))
	for i, e := range v.Edits {
		changes[i] = e.Edit.Edit
	}
	return changes
}

// With are the findings of one mode.
func (v Verdict) With(mode policies.Mode) []Finding {
	var findings []Finding
	for _, f := range v.Findings {
		if f.Mode == mode {
			findings = append(findings, f)
		}
	}
	return findings
}

// add takes findings of one policy into the verdict. A mode for which a finding
// stands without an answer from a registry is bounded by onRegistryError.
func (v *Verdict) add(m policies.Match, mode policies.Mode, findings []pod.Finding) {
	for _, f := range findings {
		bounded := mode
		if f.NoAnswer {
			bounded = laxer(mode, modeOnRegistryError(m.Policy.OnRegistryError))
		}
		if f.Advisory {
			bounded = laxer(bounded, policies.ModeWarn)
		}
		existing := f.Before && bounded == policies.ModeEnforce && m.Policy.ExistingViolations == policies.ExistingViolationsAllow
		if existing {
			bounded = policies.ModeWarn
		}
		v.Findings = append(v.Findings, Finding{Finding: f, Policy: m.Policy.Name, Mode: bounded, Existing: existing})
	}
}

func modeOnRegistryError(a policies.RegistryErrorAction) policies.Mode {
	switch a {
	case policies.RegistryErrorAllow:
		return policies.ModeAudit
	case policies.RegistryErrorWarn:
		return policies.ModeWarn
	default:
		return policies.ModeEnforce
	}
}

func laxer(a, b policies.Mode) policies.Mode {
	if a.StricterThan(b) {
		return b
	}
	return a
}

// strictest orders findings by mode, and of several that say the same about one
// field keeps the strictest. One that is exempt from one policy and not from
// another is not exempt.
func (v Verdict) strictest() Verdict {
	if len(v.Findings) < 2 {
		return v
	}
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		switch {
		case a.Mode.StricterThan(b.Mode):
			return -1
		case b.Mode.StricterThan(a.Mode) || a.Exempt != nil && b.Exempt == nil:
			return 1
		case a.Exempt == nil && b.Exempt != nil:
			return -1
		}
		return 0
	})
	seen := make(map[string]bool, len(v.Findings))
	v.Findings = slices.DeleteFunc(v.Findings, func(f Finding) bool {
		key := f.Rule + "\x00" + f.Check + "\x00" + f.Path.String()
		defer func() { seen[key] = true }()
		return seen[key]
	})
	return v
}

// String is the finding in one line: policy, rule, container, field, value and
// what to write instead.
func (f Finding) String() string {
	rule := f.Rule
	if f.Check != "" {
		rule += "/" + f.Check
	}
	container := ""
	if f.Container != "" {
		container = fmt.Sprintf("container %q: ", f.Container)
	}
	value := " is not set"
	switch {
	case f.Whole:
		value = ""
	case f.Value != nil:
		value = " is " + Quote(f.Value)
	}
	return fmt.Sprintf("%s: %s: %s%s%s: %s. Fix: %s.", f.Policy, rule, container, f.Path, value, f.Message, f.Fix)
}

// String is the edit in one line: policy, rule, container, field, value and what
// it derives from.
func (e Edit) String() string { return string(e.Append(nil)) }

// Append appends String to b. The audit log gets all edits of all reviews.
func (e Edit) Append(b []byte) []byte {
	b = append(b, e.Policy...)
	b = append(b, ": "...)
	b = append(b, e.Rule...)
	b = append(b, ": "...)
	if e.Container != "" {
		b = append(b, "container "...)
		b = strconv.AppendQuote(b, e.Container)
		b = append(b, ": "...)
	}
	b = append(b, e.Path.String()...)
	if e.Mode == policies.ModeEnforce {
		b = append(b, " is set to "...)
	} else {
		b = append(b, " would be set to "...)
	}
	b = append(b, Quote(e.New)...)
	b = append(b, ", from "...)
	return append(b, e.Evidence...)
}

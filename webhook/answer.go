package webhook

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// respond writes a verdict as the API server passes it on: denials to the user,
// warnings to kubectl, the rest to the audit log.
func (a *admission) respond(plan *engine.Plan, v engine.Verdict) *admissionv1.AdmissionResponse {
	a.metrics.verdict(v)
	response := allowed()
	if v.Denied() {
		response = denied(denial(plan.Workload, v.With(policies.ModeEnforce)))
		a.log.Debug("denied", "kind", plan.Workload.Kind.Name, "namespace", plan.Namespace.Name,
			"name", plan.Workload.DisplayName(), "message", response.Result.Message)
	} else {
		response.Warnings = append(warnings(v.With(policies.ModeWarn)), proposals(v)...)
		response.Warnings = append(response.Warnings, a.endings(plan.Now, v)...)
	}
	response.AuditAnnotations = auditAnnotations(v)
	return response
}

// maxListed bounds the findings in one message. A pod with forty containers is
// wrong in the same way forty times.
const maxListed = 20

func denial(w *pod.Workload, findings []engine.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q is refused:", w.Kind.Name, w.DisplayName())
	for i, f := range findings {
		if i == maxListed {
			fmt.Fprintf(&b, "\n- and %d more", len(findings)-maxListed)
			break
		}
		b.WriteString("\n- " + f.String())
	}
	return b.String()
}

func warnings(findings []engine.Finding) []string {
	var texts []string
	for i, f := range findings {
		switch {
		case i == maxListed:
			return append(texts, fmt.Sprintf("and %d more", len(findings)-maxListed))
		case f.Existing:
			texts = append(texts, "tolerated in this update because it was so before, and still refused in new objects, such as the Pods that come of it: "+f.String())
		default:
			texts = append(texts, f.String())
		}
	}
	return texts
}

// proposals tell of the edits that policies with mode Warn would make.
func proposals(v engine.Verdict) []string {
	var texts []string
	for _, e := range v.Proposed {
		switch {
		case e.Mode != policies.ModeWarn:
		case len(texts) == maxListed:
			return append(texts, "and more edits; the audit log lists them")
		default:
			texts = append(texts, e.String())
		}
	}
	return texts
}

// endings warn of the exceptions that the workload will soon have to do without.
func (a *admission) endings(now time.Time, v engine.Verdict) []string {
	var texts []string
	for _, u := range v.Exceptions {
		if text := u.Ending(now, a.warning); text != "" && len(texts) < maxListed {
			texts = append(texts, text)
		}
	}
	return texts
}

// maxAnnotation bounds an audit annotation, in bytes.
const maxAnnotation = 4 << 10

// auditAnnotations is what the API server's audit log keeps about a verdict. It
// puts the webhook's name before the keys.
func auditAnnotations(v engine.Verdict) map[string]string {
	annotations := map[string]string{}
	counting, exempt := part(v.Findings, func(f engine.Finding) bool { return f.Exempt != nil })
	counting, passed := part(counting, func(f engine.Finding) bool { return f.Glass != nil })
	if len(passed) > 0 {
		annotations["break-glass"] = joined(passed, func(b []byte, f engine.Finding) []byte {
			return append(b, f.Glass.String()+": "+f.String()...)
		})
	}
	if len(counting) > 0 {
		annotations["findings"] = joined(counting, func(b []byte, f engine.Finding) []byte {
			return append(b, string(f.Mode)+": "+f.String()...)
		})
	}
	if len(exempt) > 0 {
		annotations["exempt"] = joined(exempt, func(b []byte, f engine.Finding) []byte {
			return append(b, f.Exempt.String()+": "+f.String()...)
		})
	}
	if unused := engine.NotNeeded(v); len(unused) > 0 {
		annotations["exceptions-not-needed"] = joined(unused, func(b []byte, e *policies.CompiledException) []byte {
			return append(b, e.String()...)
		})
	}
	if len(v.Edits) > 0 {
		annotations["edits"] = joined(v.Edits, appendEdit)
	}
	if len(v.Proposed) > 0 {
		annotations["proposed-edits"] = joined(v.Proposed, appendEdit)
	}
	if v.LabelError != nil {
		annotations["namespace-labels-error"] = v.LabelError.Error()
	}
	return annotations
}

func appendEdit(b []byte, e engine.Edit) []byte { return e.Append(b) }

// part parts the findings that count from those that something takes out. Most often
// that is none of them, and nothing is copied.
func part(findings []engine.Finding, taken func(engine.Finding) bool) (counting, out []engine.Finding) {
	if !slices.ContainsFunc(findings, taken) {
		return findings, nil
	}
	for _, f := range findings {
		if taken(f) {
			out = append(out, f)
			continue
		}
		counting = append(counting, f)
	}
	return counting, out
}

// joined are lines, as many as the annotation holds.
func joined[T any](list []T, line func(b []byte, e T) []byte) string {
	const usual = 256 // bytes of a line
	b := make([]byte, 0, min(len(list)*usual, maxAnnotation+usual))
	for i, e := range list {
		begin := len(b)
		if b = line(b, e); len(b) > maxAnnotation {
			return string(fmt.Appendf(b[:begin], "and %d more", len(list)-i))
		}
		b = append(b, '\n')
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}

package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// ValidationNeeds are the image facts that Validate will ask for. On an update
// they include those of the images before it, by which a finding is known to be
// an old one.
func (p *Plan) ValidationNeeds() []image.Need {
	var needs []image.Need
	for _, m := range p.matches {
		for _, c := range checks {
			if c.needs == nil || c.mode(m, p.Workload) == "" {
				continue
			}
			needs = append(needs, c.needs(m.Policy, p.Workload)...)
			if p.Old != nil {
				needs = append(needs, c.needs(m.Policy, p.Old)...)
			}
		}
	}
	return needs
}

// Validate judges the workload as it stands by the checks of all matching
// policies and by the labels of its namespace.
func (p *Plan) Validate(facts image.Facts) Verdict {
	v := p.judge(p.Workload, facts)
	p.exempt(&v)
	if p.Old != nil && v.Denied() {
		p.tolerateExisting(&v, facts)
	}
	p.noteEnforcing(&v)
	return v.strictest()
}

func (p *Plan) judge(w *pod.Workload, facts image.Facts) Verdict {
	var v Verdict
	in := input{evaluator: p.engine.evaluator, workload: w, facts: facts, before: w == p.Old}
	if slices.ContainsFunc(p.matches, func(m policies.Match) bool { return len(m.Policy.Expressions) > 0 }) {
		in.expressions = p.expressionsOn(w, facts, in.before)
	}
	honor, templates := false, policies.TemplatesWarn
	for _, m := range p.matches {
		for _, c := range checks {
			mode := c.mode(m, w)
			switch {
			case mode == "":
			case c.judgeEach != nil:
				c.judgeEach(in, m, func(mode policies.Mode, findings []pod.Finding) { v.add(m, mode, findings) })
			default:
				v.add(m, mode, c.judge(in, m.Policy))
			}
		}
		if s := m.Policy.PodSecurity; s != nil && s.HonorLabels {
			honor = true
			if s.Templates == policies.TemplatesDeny {
				templates = policies.TemplatesDeny
			}
		}
	}
	if honor {
		p.judgeByLabels(&v, w, templates)
	}
	return v
}

// judgeByLabels adds what the namespace's labels say. They mean what they mean
// in Kubernetes whatever the mode of the policy that honours them.
func (p *Plan) judgeByLabels(v *Verdict, w *pod.Workload, templates policies.TemplateAction) {
	labels := validate.NamespaceLabels(p.engine.evaluator, w, p.Namespace.Labels)
	v.LabelError = labels.Err
	add := func(mode policies.Mode, findings []pod.Finding) {
		for _, f := range findings {
			v.Findings = append(v.Findings, Finding{Finding: f, Policy: p.labelPolicy(), Mode: mode})
		}
	}
	if w.Kind.IsPod() || templates == policies.TemplatesDeny {
		add(policies.ModeEnforce, labels.Enforce)
	}
	add(policies.ModeWarn, labels.Warn)
	add(policies.ModeAudit, labels.Audit)
}

// labelPolicy stands in for a policy's name where a namespace's labels speak.
func (p *Plan) labelPolicy() string { return "Namespace/" + p.Namespace.Name }

// tolerateExisting turns denials into warnings where the same finding was there
// before the update. It is not for a new pod image that the namespace's enforce
// label forbids: Kubernetes judges that anew.
func (p *Plan) tolerateExisting(v *Verdict, facts image.Facts) {
	newImage := p.Workload.Kind.IsPod() && imagesChanged(p.Old, p.Workload)
	tolerant := map[string]bool{p.labelPolicy(): !newImage}
	// Who asks for passing is judged as if it were new: a member breaks the glass for
	// the Pods of the template, and nobody else puts a reason of his into one. A Pod's
	// annotation can be taken off without our being asked: what it runs next is judged
	// anew, since nobody knows any more how it came in.
	_, broken := breakGlass(p.Old)
	_, asked := breakGlass(p.Workload)
	glass := broken || asked || newImage
	for _, m := range p.matches {
		// What came by break-glass is not there to stay, as with exceptions.
		allow := m.Policy.ExistingViolations == policies.ExistingViolationsAllow && !(glass && m.Policy.BreakGlass != nil)
		tolerant[m.Policy.Name] = allow
		if s := m.Policy.PodSecurity; s != nil && s.HonorLabels && !allow {
			tolerant[p.labelPolicy()] = false
		}
	}
	before := map[string]int{}
	inherited := map[string][]string{}
	exceptions := p.oldExceptions()
	for _, f := range p.judge(p.Old, facts).Findings {
		// What is there by an exception is not there to stay: it is neither passed on to
		// what the exception does not cover, nor tolerated once it has ended.
		if !f.NoAnswer && !f.Unknown && !p.everExempt(exceptions, f) { // else it may not have been there
			before[identity(f)]++
			inherited[identity(f)] = f.Inheritors
		}
	}
	for i, f := range v.Findings {
		id := identity(f)
		if f.Mode != policies.ModeEnforce || !tolerant[f.Policy] || before[id] == 0 || !subset(f.Inheritors, inherited[id]) {
			continue
		}
		before[id]--
		v.Findings[i].Mode, v.Findings[i].Existing = policies.ModeWarn, true
	}
}

// identity is what makes two findings the same although lists have shifted.
func identity(f Finding) string {
	return strings.Join([]string{f.Policy, f.Rule, f.Check, f.Container, f.Path.Generic(), encode(f.Value)}, "\x00")
}

// subset reports whether all names are among those before: what a pod lacks for
// all of its containers, one that did not rely on it before lacks anew.
func subset(names, before []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(before, name) })
}

func imagesChanged(old, updated *pod.Workload) bool {
	images := map[string]bool{}
	for c := range old.Containers() {
		images[c.Name+"\x00"+c.Image] = true
	}
	for c := range updated.Containers() {
		if !images[c.Name+"\x00"+c.Image] {
			return true
		}
	}
	return false
}

// maxValue bounds how much of an offending value a message quotes, in bytes.
const maxValue = 200

// Quote writes a value as JSON does, at most 200 bytes of it, and text so that no
// control character of it reaches a terminal or a log.
func Quote(value any) string { return shorten(encode(value)) }

func encode(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return strconv.Quote(fmt.Sprint(value))
	}
	return string(data)
}

func shorten(s string) string {
	if len(s) <= maxValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxValue], "") + "..."
}

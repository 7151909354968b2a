package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// checkSkipped is the check of findings about the annotation that leaves mutators
// out.
const checkSkipped = "skipped"

// mutateSection stands in for a rule where the annotation names none.
const mutateSection = "mutate"

// skips is what the annotation mutate.SkipAnnotation of a template says.
type skips struct {
	text  string
	names []string
	path  pod.Path
}

// skips is nil where the template has no such annotation.
func (p *Plan) skips() *skips {
	if p.Workload.Template == nil {
		return nil
	}
	text, ok := p.Workload.Template.Annotations[mutate.SkipAnnotation]
	if !ok {
		return nil
	}
	s := &skips{text: text, path: p.Workload.TemplatePath().Child("metadata").Child("annotations").Key(mutate.SkipAnnotation)}
	for name := range strings.SplitSeq(text, ",") {
		s.names = append(s.names, strings.TrimSpace(name))
	}
	return s
}

// asked reports whether the annotation lists the mutator.
func (u use) asked() bool { return u.skip != nil && slices.Contains(u.skip.names, u.rule) }

// skipped reports whether the mutator is left out: the annotation asks for it and
// the policy lets it.
func (u use) skipped() bool { return u.settings.HonorSkip && u.asked() }

func (u use) skipFinding() pod.Finding {
	return u.skip.finding(u.rule, "it leaves this mutator out", "remove "+u.rule+" from the annotation to have the workload repaired")
}

// finding never denies: a mutator that is left out leaves the checks in.
func (s *skips) finding(rule, message, fix string) pod.Finding {
	return pod.Finding{
		Rule: rule, Check: checkSkipped, Path: s.path, Value: s.text,
		Message: message, Fix: fix, Advisory: true,
	}
}

// judgeSkips tells who wrote the annotation what of it does not count.
func (p *Plan) judgeSkips(v *Verdict) {
	skip := p.skips()
	if skip == nil || len(p.matches) == 0 {
		return
	}
	p.eachMutator(func(u use) {
		if u.asked() && !u.skipped() && u.exempt == nil {
			v.add(u.match, laxer(u.mode, policies.ModeWarn), []pod.Finding{skip.finding(u.rule,
				fmt.Sprintf("policy %s does not let a workload leave %s out", u.match.Policy.Name, u.rule), "remove "+u.rule+" from the annotation")})
		}
	})
	if unknown := skip.unknown(); unknown != "" {
		v.add(p.matches[0], policies.ModeWarn, []pod.Finding{skip.finding(mutateSection, "there is no mutator "+unknown, "use "+mutatorNames())})
	}
}

// unknown are the names in the annotation that no mutator has, empty where there
// are none.
func (s *skips) unknown() string {
	var names []string
	for _, name := range s.names {
		if !slices.ContainsFunc(mutators, func(m mutator) bool { return m.rule == name }) {
			names = append(names, strconv.Quote(name))
		}
	}
	return strings.Join(names, ", ")
}

// mutatorNames are those that the annotation can list.
func mutatorNames() string {
	names := make([]string, len(mutators))
	for i, m := range mutators {
		names[i] = m.rule
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

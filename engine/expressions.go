package engine

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

var expressions = check{
	rule: validate.ExpressionsRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		var strictest policies.Mode
		for i := range m.Policy.Expressions {
			mode := m.ModeOf(m.Policy.Expressions[i].Mode)
			if strictest == "" || mode.StricterThan(strictest) {
				strictest = mode
			}
		}
		return strictest
	},
	needs: func(c *policies.Compiled, w *pod.Workload) []image.Need {
		var needs []image.Need
		for i := range c.Expressions {
			needs = append(needs, validate.ExpressionNeeds(w, &c.Expressions[i])...)
		}
		return needs
	},
	judgeEach: func(in input, m policies.Match, add func(policies.Mode, []pod.Finding)) {
		in.expressions.NextPolicy()
		for i := range m.Policy.Expressions {
			e := &m.Policy.Expressions[i]
			if in.before && e.Program.Reads.OldObject {
				continue // it judges the update itself, so that nothing of it was there before
			}
			if f := in.expressions.Judge(e); f != nil {
				add(m.ModeOf(e.Mode), []pod.Finding{*f})
			}
		}
	},
}

// expressionsOn is what expressions are evaluated on: the workload, or with before
// the one that an update replaces, as if it were created anew.
func (p *Plan) expressionsOn(w *pod.Workload, facts image.Facts, before bool) *validate.Expressions {
	in := validate.ExpressionInput{
		Workload: w, Old: p.Old, Request: p.Request,
		NamespaceName: p.Namespace.Name, NamespaceLabels: p.Namespace.Labels, Facts: facts,
	}
	if before {
		in.Old, in.Object, in.OldObject = nil, p.Request.OldObject, nil
	}
	return validate.NewExpressions(in)
}

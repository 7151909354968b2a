package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// BreakGlassAnnotation on an object or its pod template asks to pass the policies
// that let it, and says why.
const BreakGlassAnnotation = annotationPrefix + "break-glass"

// Glass is why a finding that would deny does not: somebody broke the glass.
type Glass struct {
	User, Reason string
	Until        time.Time
}

// String is the glass for a log or a message: broken glass by "ann" until
// 2026-12-31T23:59:59Z, "INC-1234: shop is down".
func (g *Glass) String() string {
	return fmt.Sprintf("broken glass by %s until %s, %s", Quote(g.User), g.Until.UTC().Format(time.RFC3339), Quote(g.Reason))
}

// BreakGlass is the reason that the workload gives for passing policies, by which
// its Pods pass too if it is in the template.
func (p *Plan) BreakGlass() (reason string, asked bool) { return breakGlass(p.Workload) }

func breakGlass(w *pod.Workload) (reason string, asked bool) {
	if w.Template != nil {
		if reason, asked = w.Template.Annotations[BreakGlassAnnotation]; asked {
			return reason, true
		}
	}
	reason, asked = w.Metadata.Annotations[BreakGlassAnnotation]
	return reason, asked
}

// BreakGlassOf is what a policy that matches says about breaking the glass, nil
// where it lets nobody.
func (p *Plan) BreakGlassOf(policy string) *policies.CompiledBreakGlass {
	for _, m := range p.matches {
		if m.Policy.Name == policy {
			return m.Policy.BreakGlass
		}
	}
	return nil
}

// noteEnforcing notes who denies what asks for passing: of several policies that say
// the same only one is left afterwards.
func (p *Plan) noteEnforcing(v *Verdict) {
	if !v.Denied() {
		return
	}
	if _, asked := p.BreakGlass(); !asked {
		return
	}
	for _, f := range v.Findings {
		if f.Mode == policies.ModeEnforce && !slices.Contains(v.Enforcing, f.Policy) {
			v.Enforcing = append(v.Enforcing, f.Policy)
		}
	}
}

// Pass has the findings that deny only be recorded. The glass is by policy, and has
// each of Enforcing.
func (v *Verdict) Pass(glass map[string]*Glass) {
	for i := range v.Findings {
		f := &v.Findings[i]
		if g := glass[f.Policy]; g != nil && f.Mode == policies.ModeEnforce {
			f.Glass, f.Mode = g, policies.ModeAudit
		}
	}
}

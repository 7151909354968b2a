package webhook

import (
	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// countDenied counts a refused request for the reports, in memory. A dry run is a
// question and no request.
func (a *admission) countDenied(req *request, plan *engine.Plan, v engine.Verdict) {
	if a.denied == nil || !v.Denied() || req.DryRun != nil && *req.DryRun {
		return
	}
	d := denials.Denial{
		Namespace: plan.Namespace.Name, Kind: plan.Workload.Kind.Name, Name: plan.Workload.DisplayName(), User: denials.UserClass(req.UserInfo.Username),
	}
	if owner := pod.ControllerOf(plan.Workload); owner != nil {
		d.Kind, d.Name = owner.Kind, owner.Name // each of its pods has a name of its own
	}
	counted := map[denials.Denial]bool{}
	for _, f := range v.With(policies.ModeEnforce) {
		d.Policy, d.Rule, d.Check = f.Policy, f.Rule, f.Check
		if !counted[d] {
			counted[d] = true
			a.denied.Add(d, plan.Now)
		}
	}
}

// addDenials has refused requests counted, and the counts kept.
func (s *server) addDenials(a *admission) error {
	if s.options.Denied.Name == "" {
		return nil
	}
	client, err := denials.Connect(s.options.Config)
	if err != nil {
		return err
	}
	a.denied = &denials.Table{}
	return s.manager.Add(&denials.Keeper{Table: a.denied, Client: client, Object: s.options.Denied, Interval: s.options.DeniedInterval, Log: s.options.Log})
}

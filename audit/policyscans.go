package audit

import (
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// PolicyScans counts what the scan found by each policy that is for something, by
// name. Generations are the caller's to fill in.
func (s *Scan) PolicyScans() map[string]policies.PolicyScan {
	counts := map[string]*policies.PolicyScan{}
	of := func(policy string) *policies.PolicyScan {
		c := counts[policy]
		if c == nil {
			c = &policies.PolicyScan{}
			counts[policy] = c
		}
		return c
	}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		for _, policy := range w.Policies {
			of(policy).Workloads++
		}
		for j := range w.Findings {
			countFinding(of(w.Findings[j].Policy), &w.Findings[j])
		}
	}
	all := make(map[string]policies.PolicyScan, len(counts))
	for policy, c := range counts {
		all[policy] = *c
	}
	return all
}

func countFinding(c *policies.PolicyScan, f *report.Result) {
	switch {
	case f.Exemption != nil:
		c.Exempt++
		return
	case f.Result == report.Skip:
		c.Unjudged++
		return
	case f.Result == report.Fail:
		c.Denied++
	case f.Mode == string(policies.ModeAudit):
		c.Audited++
	default:
		c.Warned++
	}
	c.Findings++
}

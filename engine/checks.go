package engine

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// check is one section of spec.validate.
type check struct {
	// rule is the key of the section: podSecurity.
	rule string
	// mode is how serious a finding in the workload is, empty where the policy
	// does not have the section.
	mode func(m policies.Match, w *pod.Workload) policies.Mode
	// needs are the image facts that judge asks for; nil: none.
	needs func(c *policies.Compiled, w *pod.Workload) []image.Need
	judge func(in input, c *policies.Compiled) []pod.Finding
	// judgeEach stands in for judge where each entry of the section has its own mode.
	judgeEach func(in input, m policies.Match, add func(policies.Mode, []pod.Finding))
}

// input is what a check may look at.
type input struct {
	evaluator *security.Evaluator
	workload  *pod.Workload
	facts     image.Facts
	// before marks the workload that an update replaces.
	before      bool
	expressions *validate.Expressions
}

// checks are all sections, in the order in which their findings are listed. It
// is never changed.
var checks = []check{podSecurity, rootUser, digests, registries, probes, logging, expressions}

var podSecurity = check{
	rule: validate.PodSecurityRule,
	mode: func(m policies.Match, w *pod.Workload) policies.Mode {
		s := m.Policy.PodSecurity
		switch {
		case s == nil:
			return ""
		case !w.Kind.IsPod() && s.Templates == policies.TemplatesWarn:
			return laxer(m.ModeOf(s.Mode), policies.ModeWarn)
		}
		return m.ModeOf(s.Mode)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.PodSecurity(in.evaluator, in.workload, c.PodSecurity)
	},
}

var rootUser = check{
	rule: validate.RootUserRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		if m.Policy.RootUser == nil {
			return ""
		}
		return m.ModeOf(m.Policy.RootUser.Mode)
	},
	needs: func(c *policies.Compiled, w *pod.Workload) []image.Need {
		return validate.RootUserNeeds(w, c.RootUser)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.RootUser(in.workload, c.RootUser, in.facts)
	},
}

var digests = check{
	rule: validate.DigestsRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		if m.Policy.DigestRequirement == nil {
			return ""
		}
		return m.ModeOf(m.Policy.DigestRequirement.Mode)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.Digests(in.workload, c.DigestRequirement)
	},
}

var registries = check{
	rule: validate.RegistriesRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		if m.Policy.Registries == nil {
			return ""
		}
		return m.ModeOf(m.Policy.Registries.Mode)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.Registries(in.workload, c.Registries)
	},
}

var probes = check{
	rule: validate.ProbesRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		if m.Policy.ProbeRequirement == nil {
			return ""
		}
		return m.ModeOf(m.Policy.ProbeRequirement.Mode)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.Probes(in.workload, c.ProbeRequirement)
	},
}

var logging = check{
	rule: validate.LoggingRule,
	mode: func(m policies.Match, _ *pod.Workload) policies.Mode {
		s := m.Policy.LoggingRequirement
		switch {
		case s == nil:
			return ""
		case s.Mode == nil:
			return laxer(m.Mode, policies.ModeWarn)
		}
		return m.ModeOf(s.Mode)
	},
	needs: func(c *policies.Compiled, w *pod.Workload) []image.Need {
		return validate.LoggingNeeds(w, c.LoggingRequirement)
	},
	judge: func(in input, c *policies.Compiled) []pod.Finding {
		return validate.Logging(in.workload, c.LoggingRequirement, in.facts)
	},
}

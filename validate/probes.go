package validate

import (
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// ProbesRule is the key of the section that this file judges.
const ProbesRule = "probes"

// Probes is being written.
func Probes(w *pod.Workload, s *policies.CompiledProbeRequirement) []pod.Finding { return nil }

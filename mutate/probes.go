package mutate

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// ProbesRule is the key of the section that this file carries out.
const ProbesRule = "probes"

// Probes is being written.
func Probes(r *Recorder, w *pod.Workload, s *policies.CompiledProbes, facts image.Facts) []pod.Finding {
	return nil
}

// ProbeNeeds are the image facts that Probes will ask for.
func ProbeNeeds(w *pod.Workload, s *policies.CompiledProbes) []image.Need { return nil }

package mutate

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// HardeningRule is the key of the section that this file carries out.
const HardeningRule = "hardening"

// Harden is being written.
func Harden(r *Recorder, w *pod.Workload, s *policies.CompiledHardening, facts image.Facts) []pod.Finding {
	return nil
}

// HardeningNeeds are the image facts that Harden will ask for.
func HardeningNeeds(w *pod.Workload, s *policies.CompiledHardening) []image.Need { return nil }

package mutate

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// LoggingRule is the key of the section that this file carries out.
const LoggingRule = "logging"

// Logging is being written.
func Logging(r *Recorder, w *pod.Workload, s *policies.CompiledLogging, facts image.Facts) []pod.Finding {
	return nil
}

// LoggingNeeds are the image facts that Logging will ask for.
func LoggingNeeds(w *pod.Workload, s *policies.CompiledLogging) []image.Need { return nil }

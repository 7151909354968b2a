package validate

import (
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// LoggingRule is the key of the section that this file judges.
const LoggingRule = "logging"

// Logging is being written.
func Logging(w *pod.Workload, s *policies.CompiledLoggingRequirement, facts image.Facts) []pod.Finding {
	return nil
}

// LoggingNeeds are the image facts that Logging will ask for.
func LoggingNeeds(w *pod.Workload, s *policies.CompiledLoggingRequirement) []image.Need { return nil }

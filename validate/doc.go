// Package validate judges workloads: one file per check, named after its section
// of spec.validate.
//
// A check is a pure function of the workload, facts about its images and the
// section's settings. It has no context, client or logger, so that the webhook,
// the command line and the audit scan cannot come to different verdicts.
package validate

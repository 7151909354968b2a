package audit

import (
	"context"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// Judge decides about workloads as the front end that it belongs to does. It is
// safe for concurrent use.
type Judge interface {
	// Version is the same for equal policies, and never the same for others.
	Version() string
	// Rules are what it goes by.
	Rules() Rules
	// Excepting are the exceptions, by namespace and name, that select a workload:
	// they go by its name too, of which nothing else that is judged depends.
	Excepting(namespace string, w *pod.Workload) []string
	// ReadsObject tells whether what is decided about a workload depends on more of
	// the object than its pod template, such as its name. Judge then needs the object.
	ReadsObject(r engine.Review) bool
	// Judge decides about the creation of a workload, which it may change.
	Judge(ctx context.Context, r engine.Review) Judgement
	// Gather finds facts about images, nil where no registry is asked.
	Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
}

// Rules are what a Judge goes by.
type Rules struct {
	// Exceptions are all that there are, those that have ended too, without what
	// they are good for.
	Exceptions []report.ExceptionUse
	// Policies stand for what the policies say, by name.
	Policies map[string]string
}

// Judgement is what is known about one workload, without the object's own name: it
// holds for every object that is the same in all that rules look at.
type Judgement struct {
	// Matched is unset where no policy is for the workload, so that nothing is
	// known about it.
	Matched bool
	// Findings are all results but passes.
	Findings []report.Result
	// Passed counts rules that found nothing.
	Passed int
	// Policies are the names of those that are for the workload, each once.
	Policies []string
	// Changes are what mutators did, and what they would do if they were enforced.
	Changes []report.Change
	// Exceptions are those in force that cover the workload, each with whether it is
	// needed there. Lapsed are the policies for which one that covers it has ended.
	Exceptions []report.ExceptionUse
	Lapsed     []string
	// Readiness is what stands between the workload and the Pod Security levels.
	Readiness []Readiness
	// Needs and Credentials are what the decision asked of registries, Facts the
	// answers that it rests on. Only what they come to is kept.
	Needs       []image.Need
	Credentials image.Credentials
	Facts       image.Facts
}

// Readiness says what one Pod Security level would refuse about a workload.
type Readiness struct {
	// Level and Version are those of a pod-security.kubernetes.io label.
	Level, Version string
	// Blockers are the checks that the workload does not pass, by their ids.
	Blockers []string
	// Left are those of them that are not passed either once mutate.hardening has
	// done what it does by default.
	Left []string
}

// worst is the severest outcome among the findings, Pass for none.
func (j *Judgement) worst() report.Outcome {
	worst := report.Pass
	for i := range j.Findings {
		if severity(j.Findings[i].Result) > severity(worst) {
			worst = j.Findings[i].Result
		}
	}
	return worst
}

// severity orders outcomes.
func severity(o report.Outcome) int {
	switch o {
	case report.Pass:
		return 0
	case report.Skip:
		return 1
	case report.Warn:
		return 2
	default:
		return 3
	}
}

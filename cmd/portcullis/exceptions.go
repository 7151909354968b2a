package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// exceptionWarning is how long before its end an exception is warned about.
const exceptionWarning = 7 * 24 * time.Hour

// exemptionOf is an exemption as reports have it, nil for none.
func exemptionOf(e *engine.Exemption) *report.Exemption {
	if e == nil {
		return nil
	}
	exemption := exemptionBy(e.Exception, e.Ends)
	return &exemption
}

func exemptionBy(e *policies.CompiledException, ends time.Time) report.Exemption {
	return report.Exemption{Exception: e.String(), Owner: e.Owner, Reason: e.Reason, ExpiresAt: ends.UTC().Format(time.RFC3339)}
}

// exceptionUses are the exceptions that cover a workload, each with whether the
// workload needs it.
func exceptionUses(j judgement, now time.Time) []report.ExceptionUse {
	var uses []report.ExceptionUse
	unneeded := engine.NotNeeded(j.mutation, j.validation)
	seen := map[*policies.CompiledException]bool{}
	for _, v := range []engine.Verdict{j.mutation, j.validation} {
		for _, u := range v.Exceptions {
			if seen[u.Exception] {
				continue
			}
			seen[u.Exception] = true
			use := report.ExceptionUse{Exemption: exemptionBy(u.Exception, u.Ends), EndsIn: u.Left(now, exceptionWarning), Objects: 1, Needed: 1}
			if slices.Contains(unneeded, u.Exception) {
				use.Needed = 0
			}
			uses = append(uses, use)
		}
	}
	return uses
}

// noteEnded tells of exceptions in files that have ended, which cover nothing.
func noteEnded(stderr io.Writer, exceptions []*policies.PolicyException, now time.Time) {
	for _, e := range exceptions {
		if problem, ended := e.Ended(now); ended {
			problem.Source = fmt.Sprintf("%s %q", policies.ExceptionKind, e.Namespace+"/"+e.Name)
			fmt.Fprintln(stderr, "portcullis:", problem)
		}
	}
}

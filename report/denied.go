package report

import (
	"fmt"

	"github.com/portcullis-dev/portcullis/engine"
)

// Denied are requests that the webhook has refused. What was refused does not run.
type Denied struct {
	Namespace string `json:"namespace"`
	// Kind and Name are those of the object, or of the controller that asked for a pod.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// User is who asked: user, serviceAccount, controller (of Kubernetes), node, system.
	User   string `json:"user"`
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	Check  string `json:"check"`
	// Count is how often since First; the last time was Last, both as in RFC 3339.
	Count int    `json:"count"`
	First string `json:"first"`
	Last  string `json:"last"`
}

// DeniedRule is the Rule of results about refused requests.
const DeniedRule = "deniedRequests"

// Result is the count as a report object has it, for information: nothing is wrong
// with what runs.
func (d Denied) Result() Result {
	return Result{
		Kind: d.Kind, Namespace: d.Namespace, Name: d.Name, Policy: d.Policy, Rule: DeniedRule, Check: ruleID(Result{Rule: d.Rule, Check: d.Check}),
		Mode: "Enforce", Result: Pass, Message: d.String(),
	}
}

// String is the count in one line, for people.
func (d Denied) String() string {
	return fmt.Sprintf("%s %s refused %s by %s of policy %s, asked by a %s, the last time at %s",
		plain(d.Kind), plain(engine.Quote(d.Name)), plural(d.Count, "time"), plain(ruleID(Result{Rule: d.Rule, Check: d.Check})), plain(engine.Quote(d.Policy)), plain(d.User), plain(d.Last))
}

package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/engine"
)

// Denied counts requests that the webhook has refused by one check. What was refused
// does not run. A request that several checks refuse is counted for each of them.
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

// Refused is what was counted of one object and those who asked for it, by check: the
// check that refused it most often first. It is never empty.
type Refused []Denied

// RefusedObjects are counts by object, in the order in which the objects come up.
func RefusedObjects(all []Denied) []Refused {
	type key struct{ namespace, kind, name, user string }
	place := map[key]int{}
	var objects []Refused
	for _, d := range all {
		k := key{d.Namespace, d.Kind, d.Name, d.User}
		i, known := place[k]
		if !known {
			i = len(objects)
			place[k] = i
			objects = append(objects, nil)
		}
		objects[i] = append(objects[i], d)
	}
	for _, r := range objects {
		slices.SortStableFunc(r, func(a, b Denied) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Last, a.Last), cmp.Compare(a.First, b.First),
				cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.rule(), b.rule()))
		})
	}
	return objects
}

// rule is the rule with its check.
func (d Denied) rule() string { return ruleID(Result{Rule: d.Rule, Check: d.Check}) }

// together reports whether two counts are of the same requests, as far as counts can
// tell.
func (d Denied) together(other Denied) bool {
	return d.Count == other.Count && d.First == other.First && d.Last == other.Last
}

// DeniedRule is the Rule of results about refused requests.
const DeniedRule = "deniedRequests"

// Results are what report objects have, for information: nothing is wrong with what
// runs. There is one for each policy, which a result has one of.
func (r Refused) Results() []Result {
	byPolicy := map[string]Refused{}
	var names []string
	for _, d := range r {
		if byPolicy[d.Policy] == nil {
			names = append(names, d.Policy)
		}
		byPolicy[d.Policy] = append(byPolicy[d.Policy], d)
	}
	slices.Sort(names)
	results := make([]Result, 0, len(names))
	for _, name := range names {
		results = append(results, Result{
			Kind: r[0].Kind, Namespace: r[0].Namespace, Name: r[0].Name, Policy: name, Rule: DeniedRule,
			Mode: "Enforce", Result: Pass, Message: byPolicy[name].String(),
		})
	}
	return results
}

// String is the counts in one line, for people.
func (r Refused) String() string {
	return plain(r[0].Kind) + " " + plain(engine.Quote(r[0].Name)) + " refused " + strings.Join(r.checks(), ", ") +
		", asked by a " + plain(r[0].User) + ", the last time at " + r.last()
}

// last is when the object was refused last.
func (r Refused) last() string {
	return plain(slices.MaxFunc(r, func(a, b Denied) int { return cmp.Compare(a.Last, b.Last) }).Last)
}

// checks tell how often which checks refused the object, those of the same requests in
// one text.
func (r Refused) checks() []string {
	var texts []string
	for i, d := range r {
		policy := " of policy " + plain(engine.Quote(d.Policy))
		text := plain(d.rule()) + policy
		switch last := len(texts) - 1; {
		case i == 0 || !d.together(r[i-1]):
			texts = append(texts, plural(d.Count, "time")+" by "+text)
		case d.Policy == r[i-1].Policy:
			texts[last] = strings.TrimSuffix(texts[last], policy) + ", " + text
		default:
			texts[last] += " and " + text
		}
	}
	return texts
}

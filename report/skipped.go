package report

import "fmt"

// skipped is one reason for which rules were not judged. One reason often holds
// for every object of a run, so that formats for people name it once.
type skipped struct {
	policy, rule, message string
	// objects are in the order of the report, each once.
	objects []string
}

// String is the reason with how much it is about.
func (s skipped) String() string {
	policy := ""
	if s.policy != "" {
		policy = " of policy " + plain(s.policy)
	}
	return fmt.Sprintf("%s%s was not judged for %s: %s", plain(s.rule), policy, plural(len(s.objects), "object"), plain(s.message))
}

// skips are the reasons among results, in the order in which they come up.
func skips(results []Result) []skipped {
	type reason struct{ policy, rule, message string }
	type about struct {
		reason
		objectKey
	}
	var all []skipped
	index := map[reason]int{}
	seen := map[about]bool{}
	for _, r := range results {
		if r.Result != Skip || r.Exemption != nil {
			continue
		}
		why := reason{r.Policy, ruleID(r), r.Message}
		i, known := index[why]
		if !known {
			i = len(all)
			index[why] = i
			all = append(all, skipped{policy: r.Policy, rule: ruleID(r), message: r.Message})
		}
		if key := (about{why, keyOf(r)}); !seen[key] {
			seen[key] = true
			name := object(r)
			if name == "" {
				name = place(r)
			}
			all[i].objects = append(all[i].objects, name)
		}
	}
	return all
}

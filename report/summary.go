package report

import (
	"fmt"
	"strings"
)

// verdict says in one sentence what the report comes to. What was not judged is
// never among what is fine.
func verdict(r *Report) string {
	refused := map[objectKey]bool{}
	for _, result := range r.Results {
		if result.Result == Fail {
			refused[keyOf(result)] = true
		}
	}
	s := r.Summary
	switch {
	case s.Fail > 0 && s.Error > 0:
		return fmt.Sprintf("%s would be refused, and %s could not be judged", plural(len(refused), "object"), plural(s.Error, "input"))
	case s.Fail > 0:
		return plural(len(refused), "object") + " would be refused"
	case s.Error > 0:
		return plural(s.Error, "input") + " could not be judged"
	case s.Objects == 0:
		return "no object was judged"
	case s.Unmatched == s.Objects:
		return "no policy matches any object, so nothing was judged"
	case s.Pass+s.Warn+s.Exempt == 0 && s.Skip > 0:
		return "nothing was judged: every rule was skipped"
	case s.Skip > s.Exempt || s.Unmatched > 0:
		return "nothing is refused among what was judged"
	}
	return "nothing is refused"
}

// counts is the line of numbers: how much was read, and what became of it.
func counts(s Summary) string {
	parts := []string{
		plural(s.Fail, "failure"), plural(s.Warn, "warning"), plural(s.Error, "error"),
		fmt.Sprintf("%d passed", s.Pass), fmt.Sprintf("%d skipped", s.Skip-s.Exempt),
	}
	if s.Exempt > 0 {
		parts = append(parts, fmt.Sprintf("%d exempt", s.Exempt))
	}
	return fmt.Sprintf("%s in %s: %s", plural(s.Objects, "object"), plural(s.Files, "file"), strings.Join(parts, ", "))
}

// remarks are what the counts do not cover, without the exceptions.
func remarks(s Summary) []string {
	var lines []string
	if s.Unmatched > 0 {
		lines = append(lines, fmt.Sprintf("%s matched by no policy", plural(s.Unmatched, "object")))
	}
	if s.NotWorkloads > 0 {
		lines = append(lines, fmt.Sprintf("%s without a pod or pod template, which no rule is for", plural(s.NotWorkloads, "document")))
	}
	return lines
}

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// writeGitHub writes workflow commands, which GitHub Actions shows as annotations
// on the lines of a pull request, then the numbers as a line of the log. GitHub
// shows ten annotations of each level of a step, so failures come first.
// Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
func writeGitHub(w io.Writer, r *Report, _ Options) error {
	b := bufio.NewWriter(w)
	results := r.sorted()
	for _, level := range []string{"error", "warning", "notice"} {
		for _, result := range results {
			if gitHubLevel(result) == level {
				gitHubAnnotation(b, level, result)
			}
		}
	}
	for _, u := range r.Exceptions {
		fmt.Fprintf(b, "::notice title=%s::%s\n", gitHubProperty("Exception"), gitHubData(u.String()))
	}
	for _, s := range skips(results) {
		fmt.Fprintf(b, "::notice title=%s::%s\n", gitHubProperty("Not judged"), gitHubData(s.String()))
	}
	fmt.Fprintf(b, "%s\n", strings.Join(append([]string{counts(r.Summary)}, remarks(r.Summary)...), "; "))
	return b.Flush()
}

// gitHubLevel is the level of a result's annotation, empty where it gets none.
func gitHubLevel(r Result) string {
	switch {
	case r.Result == Pass || r.Result == Skip:
		return ""
	case r.Result == Warn && r.Mode == "Audit":
		return "notice"
	case r.Result == Warn:
		return "warning"
	}
	return "error"
}

func gitHubAnnotation(w io.Writer, level string, r Result) {
	var properties []string
	add := func(name, text string) {
		properties = append(properties, name+"="+gitHubProperty(text))
	}
	if source(r) == r.Source {
		add("file", plain(r.Source))
		if r.Line > 0 {
			add("line", fmt.Sprint(r.Line))
		}
		if r.Line > 0 && r.Column > 0 {
			add("col", fmt.Sprint(r.Column))
		}
	}
	title := plain(ruleID(r))
	if name := object(r); name != "" {
		title += ": " + name
	}
	add("title", title)
	message := sentence(r)
	if r.Fix != "" {
		message += "\nFix: " + plain(r.Fix)
	}
	if r.Policy != "" {
		message += "\nPolicy: " + plain(r.Policy)
	}
	fmt.Fprintf(w, "::%s %s::%s\n", level, strings.Join(properties, ","), gitHubData(message))
}

// gitHubData and gitHubProperty escape what would end a command or a property
// and start another one, as the runner unescapes it.
func gitHubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func gitHubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

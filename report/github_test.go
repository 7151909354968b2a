package report

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGitHub(t *testing.T) {
	golden(t, "github.txt", write(t, "github", sample(), sampleOptions))
}

func TestGitHubEscapes(t *testing.T) {
	const all = "%\r\n:,%0A::x"
	if got, want := gitHubData(all), "%25%0D%0A:,%250A::x"; got != want {
		t.Errorf("data: got %q, want %q", got, want)
	}
	if got, want := gitHubProperty(all), "%25%0D%0A%3A%2C%250A%3A%3Ax"; got != want {
		t.Errorf("property: got %q, want %q", got, want)
	}
}

func TestGitHubRoundTrip(t *testing.T) {
	r := &Report{}
	r.Add(Result{
		Source: "a,b:50%/web.yaml", Line: 3, Column: 9, Kind: "Pod", Name: "x::y,title=z", Rule: "registries", Result: Fail,
		Field: "spec.image", Value: "evil::error file=x::", Message: "line\n::add-mask::y", Fix: "100%0A", Policy: "p",
	})
	commands := gitHubCommands(t, string(write(t, "github", r, Options{})))
	want := []gitHubCommand{{
		name:       "error",
		properties: map[string]string{"file": "a,b:50%/web.yaml", "line": "3", "col": "9", "title": "registries: Pod x::y,title=z"},
		data:       "spec.image is \"evil::error file=x::\": line\\n::add-mask::y\nFix: 100%0A\nPolicy: p",
	}}
	if diff := cmp.Diff(want, commands, cmp.AllowUnexported(gitHubCommand{})); diff != "" {
		t.Errorf("commands as the runner reads them (-want +got):\n%s", diff)
	}
}

// TestGitHubOrder requires failures first, since GitHub shows ten of each level.
func TestGitHubOrder(t *testing.T) {
	var got []string
	for _, c := range gitHubCommands(t, string(write(t, "github", sample(), sampleOptions))) {
		got = append(got, c.name)
	}
	if diff := cmp.Diff([]string{"error", "error", "error", "warning", "notice", "notice"}, got); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}

type gitHubCommand struct {
	name       string
	properties map[string]string
	data       string
}

var (
	gitHubLine = regexp.MustCompile(`^::(error|warning|notice) ([^\r\n]*?)::([^\r\n]*)$`)
	gitHubLast = regexp.MustCompile(`^\d+ objects? in \d+ files?: [0-9a-z, ]+(; [0-9a-z, ]+)*$`)
)

// gitHubCommands reads output as the runner does, and requires that it has
// nothing but annotations and, as its last line, the numbers.
func gitHubCommands(t testing.TB, output string) []gitHubCommand {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
	if last := lines[len(lines)-1]; !gitHubLast.MatchString(last) {
		t.Errorf("got last line %q, want the numbers", last)
	}
	var commands []gitHubCommand
	for _, line := range lines[:len(lines)-1] {
		match := gitHubLine.FindStringSubmatch(line)
		if match == nil {
			t.Errorf("got line %q, want an annotation", line)
			continue
		}
		c := gitHubCommand{name: match[1], properties: map[string]string{}, data: gitHubUnescape(match[3])}
		for _, property := range strings.Split(match[2], ",") {
			name, value, _ := strings.Cut(property, "=")
			c.properties[name] = gitHubUnescape(value)
		}
		if unknown := slices.DeleteFunc(slices.Collect(maps.Keys(c.properties)), func(name string) bool {
			return slices.Contains([]string{"file", "line", "col", "title"}, name)
		}); len(unknown) > 0 {
			t.Errorf("got properties %q in %q", unknown, line)
		}
		commands = append(commands, c)
	}
	return commands
}

// gitHubUnescape is what the runner does, in its order (actions/runner,
// src/Runner.Common/ActionCommand.cs).
func gitHubUnescape(s string) string {
	for _, pair := range []string{"%0D\r", "%0A\n", "%3A:", "%2C,", "%25%"} {
		s = strings.ReplaceAll(s, pair[:3], pair[3:])
	}
	return s
}

func TestGitHubStdin(t *testing.T) {
	r := &Report{}
	r.Add(Result{Source: "-", Line: 3, Rule: "registries", Result: Fail})
	c := gitHubCommands(t, string(write(t, "github", r, Options{})))[0]
	if _, has := c.properties["file"]; has {
		t.Errorf("got %s, want no file: there is none", fmt.Sprint(c.properties))
	}
}

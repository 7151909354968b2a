package vap

import (
	"regexp"
	"strings"

	"github.com/portcullis-dev/portcullis/policies"
)

// wellWritten is true of a reference that all software reads alike. What is written
// otherwise has no canonical name here: upper case in a repository, an address in
// brackets, a port that begins with 0.
func wellWritten(reference string) string {
	const grammar = `^([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*(:[1-9][0-9]*)?/)?` +
		`[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*(:[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?(@sha256:[a-f0-9]{64})?$`
	return reference + ".matches('" + grammar + "')"
}

// nameOf is the canonical name that image.Reference.Name gives a reference:
// docker.io/library/nginx for nginx:1.
func nameOf(reference string) string {
	text := "[" + reference + ".split('@')[0]]"
	for _, step := range []struct{ when, then string }{
		{"n.lastIndexOf(':') > n.lastIndexOf('/')", "n.substring(0, n.lastIndexOf(':'))"},
		{"!n.matches('^([^/]*[.:A-Z][^/]*|localhost)/')", "'docker.io/' + n"},
		{"true", "n.substring(0, n.indexOf('/')).lowerAscii() + n.substring(n.indexOf('/'))"},
		{"n.matches('^[^/]*:443/')", "n.substring(0, n.indexOf(':443/')) + n.substring(n.indexOf('/'))"},
		{"n.matches('^(index|registry-1)[.]docker[.]io/')", "'docker.io' + n.substring(n.indexOf('/'))"},
		{"n.matches('^docker[.]io/[^/]*$')", "'docker.io/library' + n.substring(n.indexOf('/'))"},
	} {
		text += ".map(n, " + step.when + " ? " + step.then + " : n)"
	}
	return text + "[0]"
}

// patterns is a regular expression for canonical names that image patterns match.
func patterns(list []string) string {
	alternatives := make([]string, 0, len(list))
	for _, text := range list {
		p, err := policies.ParseImagePattern(text)
		if err != nil {
			continue // a valid policy has none
		}
		alternatives = append(alternatives, patternOf(p.String()))
	}
	return "^(" + strings.Join(alternatives, "|") + ")$"
}

// patternOf translates one pattern in canonical form.
func patternOf(text string) string {
	if text == "**" {
		return ".+"
	}
	host, path, _ := strings.Cut(text, "/")
	deep := ""
	if rest, ok := strings.CutSuffix(path, "**"); ok {
		path, deep = strings.TrimSuffix(rest, "/"), "/.+"
	}
	star := func(s, run string) string { return strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, run) }
	if path == "" {
		return star(host, "[^./]*") + deep
	}
	return star(host, "[^./]*") + "/" + star(path, "[^/]*") + deep
}

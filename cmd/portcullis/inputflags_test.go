package main

import (
	"strings"
	"testing"
)

// TestFlagErrors requires of what is wrong with flags that it is told which one is
// meant, its value and what to write instead.
func TestFlagErrors(t *testing.T) {
	const advice = ": it is no name of a namespace; use at most 63 lower case letters, digits and -, such as default"
	for args, want := range map[string][]string{
		"check --namespace Bad_NS -":                                   {`reading --namespace "Bad_NS"` + advice},
		"export vap --guard --system-namespace=A":                      {`reading --system-namespace "A"` + advice},
		"export vap --guard --exception-namespaces=a,B,C":              {`reading --exception-namespaces "B"` + advice, `reading --exception-namespaces "C"` + advice},
		"export vap --guard --trusted-groups=ops,system:authenticated": {`reading --trusted-groups: "system:authenticated" is no group of people who are trusted; name groups that an admin puts people into`},
		"serve --exception-namespaces=a,B":                             {`reading --exception-namespaces "B"` + advice},
		"explain --admission-review review.json pod.yaml":              {`reading --admission-review "review.json": it is replayed alone, without paths and --server`},
		"check --registries x.yaml -":                                  {`reading --registries "x.yaml": it is for --online, which is missing`},
		"serve --cloudevents-authorization-file=token":                 {`reading --cloudevents-authorization-file "token": it is for --cloudevents-url, which is missing`},
	} {
		got := execute(t, "", strings.Fields(args)...)
		if got.code != exitUsage {
			t.Errorf("%s: got exit code %d, want %d", args, got.code, exitUsage)
		}
		for _, text := range want {
			if !strings.Contains(got.stderr, text) {
				t.Errorf("%s: got %s, want %s", args, got.stderr, text)
			}
		}
	}
}

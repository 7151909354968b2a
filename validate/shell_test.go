package validate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShellCommands(t *testing.T) {
	for script, want := range map[string][]shellCommand{
		"":                             nil,
		"a b":                          {{words: []string{"a", "b"}}},
		"a>b":                          {{words: []string{"a"}, targets: []string{"b"}}},
		"a >>b 2> c":                   {{words: []string{"a"}, targets: []string{"b", "c"}}},
		"a >|b &>c &>> d":              {{words: []string{"a"}, targets: []string{"b", "c", "d"}}},
		"a 2>&1 >b":                    {{words: []string{"a"}, targets: []string{"b"}}},
		"a >&b":                        {{words: []string{"a"}, targets: []string{"b"}}},
		"a2>b":                         {{words: []string{"a2"}, targets: []string{"b"}}},
		"a >b.log|c":                   {{words: []string{"a"}, targets: []string{"b.log"}}, {words: []string{"c"}}},
		"a; b && c || d & e\nf":        {{words: []string{"a"}}, {words: []string{"b"}}, {words: []string{"c"}}, {words: []string{"d"}}, {words: []string{"e"}}, {words: []string{"f"}}},
		`a "b > c" 'd;e' f\ g h"i"j`:   {{words: []string{"a", "b > c", "d;e", "f g", "hij"}}},
		`a > "b c"`:                    {{words: []string{"a"}, targets: []string{"b c"}}},
		"a \\\n b":                     {{words: []string{"a", "b"}}},
		"a # > b\nc":                   {{words: []string{"a"}}, {words: []string{"c"}}},
		"a#b":                          {{words: []string{"a#b"}}},
		"{ a > b; }":                   {{words: []string{"a"}, targets: []string{"b"}}},
		"(a) > b":                      {{words: []string{"a"}}, {targets: []string{"b"}}},
		"if a; then b; else c > d; fi": {{words: []string{"a"}}, {words: []string{"b"}}, {words: []string{"c"}, targets: []string{"d"}}},
		"a > ${B}/c":                   {{words: []string{"a"}, targets: []string{"${B}/c"}}},
		"a > $(b)/c":                   {{words: []string{"a"}, targets: []string{"$"}}, {words: []string{"b"}}, {words: []string{"/c"}}},
		`a '`:                          {{words: []string{"a", ""}}},
		`a \`:                          {{words: []string{"a", `\`}}},
		"a >":                          {{words: []string{"a"}}},
		"> b":                          {{targets: []string{"b"}}},
	} {
		if diff := cmp.Diff(want, shellCommands(script), cmp.AllowUnexported(shellCommand{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", script, diff)
		}
	}
}

// TestShellCommandsOfADeepScript bounds what somebody else's script can cost.
func TestShellCommandsOfADeepScript(t *testing.T) {
	for _, part := range []string{"(", "$(", "${", "{ ", "`", "'", `"`, "\\\n", "if ", "> ", ">& 1", "a;", "<<"} {
		began := time.Now()
		shellCommands(strings.Repeat(part, 1<<20))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a script of %q took %s, want less than 5 s", part, took)
		}
	}
}

// FuzzShellCommands holds that every script comes to its end, and that nothing is
// found in it that is not there.
func FuzzShellCommands(f *testing.F) {
	for _, script := range []string{"a >> b.log 2>&1", "{ a; } | tee -a 'b c'", "if a\nthen b # c\nfi", "a &>|b\\"} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		length := 0
		for _, command := range shellCommands(script) {
			length += len(strings.Join(command.words, "")) + len(strings.Join(command.targets, ""))
		}
		if length > len(script) {
			t.Errorf("got words of %d bytes in a script of %d", length, len(script))
		}
	})
}

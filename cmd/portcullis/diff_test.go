package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDiffApplies requires that patch makes one random text of another, which has
// repeated lines and changes of any length, near each other and at both ends.
func TestDiffApplies(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var old, updated strings.Builder
		for range random.IntN(60) {
			line := fmt.Sprintf("line %d\n", random.IntN(8))
			switch random.IntN(12) {
			case 0:
				updated.WriteString(strings.Repeat(line, random.IntN(4)) + line)
				old.WriteString(line)
			case 1:
				old.WriteString(line)
			case 2:
				updated.WriteString(line)
			default:
				old.WriteString(line)
				updated.WriteString(line)
			}
		}
		from, want := strings.TrimSuffix(old.String(), "\n"), updated.String()
		if from == "" || want == "" || from == want {
			continue
		}
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "a"), []byte(from), 0o600); err != nil {
			t.Fatal(err)
		}
		text := unifiedDiff("a", []byte(from), []byte(want))
		cmd := exec.Command(git, "apply", "--whitespace=nowarn", "-")
		cmd.Dir, cmd.Stdin = folder, strings.NewReader(text)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git apply: %v\n%s\n%s", err, output, text)
		}
		if got, err := os.ReadFile(filepath.Join(folder, "a")); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q by\n%s", got, err, want, text)
		}
	}
}

// TestDiffIsLinear takes a file of 20,000 documents, each of which changes.
func TestDiffIsLinear(t *testing.T) {
	const document = "---\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: a\n    image: a\n"
	old := strings.Repeat(document, 20_000)
	began := time.Now()
	text := unifiedDiff("a", []byte(old), []byte(strings.ReplaceAll(old, "    image: a\n", "    image: b\n    securityContext: {}\n")))
	if took := time.Since(began); took > 10*time.Second { // a quarter of a second; hours by a search of the whole
		t.Errorf("took %s, want less than 10s", took)
	}
	if got, want := strings.Count(text, "\n+    image: b\n"), 20_000; got != want {
		t.Errorf("got %d changes, want %d", got, want)
	}
}

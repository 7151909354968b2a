//go:build kind

package kind

import (
	"strings"
	"testing"
)

// program is the path of a program of the module in programs/, which is compiled
// when it is asked for first: helm or kustomize.
func program(t testing.TB, name string) string {
	t.Helper()
	output, err := command{args: []string{"go", "-C", "programs", "tool", "-n", name}, timeout: buildTimeout}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(output), "\n") // downloads are told of before
	return lines[len(lines)-1]
}

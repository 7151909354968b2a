//go:build kind

package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// command is a program that runs to its end.
type command struct {
	args  []string
	stdin string
	// dir is the working directory, by default that of the tests.
	dir string
	// env is added to the environment.
	env []string
	// timeout is by default commandTimeout.
	timeout time.Duration
}

// buildTimeout is for a program that has never been compiled.
const buildTimeout = 15 * time.Minute

// commandTimeout is for a machine on which something else compiles.
const commandTimeout = 5 * time.Minute

// run returns all that the command wrote. The error has it too.
func (c command) run(ctx context.Context) (string, error) {
	timeout := c.timeout
	if timeout == 0 {
		timeout = commandTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	program := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	program.Dir = c.dir
	program.Env = append(os.Environ(), c.env...)
	program.Stdin = strings.NewReader(c.stdin)
	program.WaitDelay = 5 * time.Second // for children that keep its output open
	output, err := program.CombinedOutput()
	if err == nil {
		return string(output), nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("still running after %s", timeout)
	}
	return string(output), fmt.Errorf("running %s: %w\n%s", strings.Join(c.args, " "), err, output)
}

// run runs a program that has to succeed, and returns what it wrote.
func run(t testing.TB, args ...string) string {
	t.Helper()
	output, err := command{args: args}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return output
}

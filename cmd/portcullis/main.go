// Command portcullis is a Kubernetes admission webhook that repairs and judges
// what carries a pod template.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what waits for an input, which no context ends
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it ran, and failed
	exitUsage  = 2 // wrong usage or unreadable input: nothing was started
)

// usageError marks what is wrong with the command line or a file it names.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError ends a command with an exit code; what is to be said has been said.
type silentError struct{ code int }

func (e silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// noArgs refuses what is neither a command nor a flag.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	return nil
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var silent silentError
	if errors.As(err, &silent) {
		return silent.code
	}
	fmt.Fprintln(s.err, "portcullis:", err)
	if errors.As(err, &usageError{}) {
		return exitUsage
	}
	return exitFailed
}

// newRoot is the command with all its subcommands.
func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "portcullis",
		Short: "Admission webhook that repairs and judges Kubernetes workloads",
		Long: `Portcullis is a Kubernetes admission webhook and policy enforcer. It pins image
tags to digests, applies the Pod Security Standards, and finds containers that run
as root or come from elsewhere, in Pods and in everything that carries a pod
template, as PodPolicy objects say. The same verdict is to be had before the
cluster sees an object: portcullis check.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing; see portcullis --help")}
		},
	}
	if name := filepath.Base(os.Args[0]); strings.HasPrefix(name, "kubectl-") {
		// Called as a plugin, it is what users type.
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl portcullis"}
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newCheck(s), newFix(s), newExplain(s), newAudit(s), newTest(s), newExport(s), newConvert(s), newServe(s.err), newVersion())
	return root
}

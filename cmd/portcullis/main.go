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
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
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

// noArgs refuses what is neither a command nor a flag.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	return nil
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "portcullis",
		Short: "Admission webhook that repairs and judges Kubernetes workloads",
		Long: `Portcullis is a Kubernetes admission webhook and policy enforcer. It pins image
tags to digests, applies the Pod Security Standards, and finds containers that run
as root or come from elsewhere, in Pods and in everything that carries a pod
template, as PodPolicy objects say.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a command is missing; see portcullis --help")}
		},
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newServe(stderr), newVersion())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "portcullis:", err)
	if errors.As(err, &usageError{}) {
		return exitUsage
	}
	return exitFailed
}

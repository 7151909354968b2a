// Command demo shows Portcullis at work on a real API server: `make demo`. It
// applies the manifests of examples/, shows what was changed or why it was
// refused, and then stays up for whoever wants to try his own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/portcullis-dev/portcullis/e2e/freeport"
	"github.com/portcullis-dev/portcullis/e2e/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run starts everything, shows it, and stays up until ctx ends or, where it is not
// started from a terminal, until there is nothing more to read. Its error says
// what did not happen as it should.
func run(ctx context.Context, args []string, in *os.File, out io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	exit := flags.Bool("exit", os.Getenv("CI") == "true", "exit after the show (default: if CI=true)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctrl.SetLogger(logr.Discard()) // of the libraries in this process
	d := demo{out: out, colour: isTerminal(out)}
	d.print("Starting etcd, kube-apiserver, a registry and Portcullis ...\n")
	started := time.Now()
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() {
		d.print("\nStopping ...\n")
		err = errors.Join(err, d.cluster.Down())
	}()
	if err := d.show(ctx, started); err != nil {
		return err
	}
	if *exit {
		return nil
	}
	d.invite(term.IsTerminal(int(in.Fd())))
	wait(ctx, in)
	return nil
}

// start starts the cluster, and has Portcullis scan it every ten seconds.
func (d *demo) start(ctx context.Context) error {
	port, err := (&freeport.Ports{}).Next()
	if err != nil {
		return err
	}
	d.page = "127.0.0.1:" + port
	d.cluster, err = harness.Up(ctx, harness.Options{Controllers: true, Args: []string{"--audit-interval=10s", "--audit-address=" + d.page}})
	return err
}

// wait returns when ctx ends, when whoever has started this is gone (`go run` does
// not pass SIGTERM on), or at the end of an input that is no terminal.
func wait(ctx context.Context, in *os.File) {
	ended := make(chan struct{})
	if !term.IsTerminal(int(in.Fd())) {
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, in) // its end counts, however it comes
		}()
	}
	parent := os.Getppid()
	for parent == os.Getppid() {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-time.After(time.Second):
		}
	}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
}

// invite says how to go on, and for how long there is somebody to try it on.
func (d *demo) invite(terminal bool) {
	until := "until Ctrl-C"
	if !terminal {
		until = "until a signal, or the end of its input, which is no terminal"
	}
	d.heading("Your turn")
	d.print(strings.Join([]string{
		"The API server stays up " + until + ". In another terminal, at the root of this repository:",
		"",
		"  export KUBECONFIG=" + d.cluster.Kubeconfig,
		"  kubectl run shell -n production --image=nginx:1.27 --privileged",
		"  kubectl get deployment -n staging python-web-app -o yaml | grep image:",
		"  kubectl get podpolicies",
		"",
		"What runs is scanned every ten seconds: http://" + d.page + "/audit",
		"",
		"The registry of the demo has these images and no others: " + strings.Join([]string{harness.PythonImage, harness.FlaskImage, harness.NginxImage}, ", ") + ".",
		"kubectl, if you have none: " + harness.Program("kubectl"),
		"",
	}, "\n"))
}

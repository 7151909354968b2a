package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/webhook"
)

// explainFlags are the flags of the explain command as they are typed.
type explainFlags struct {
	input      inputFlags
	judge      judgeFlags
	review     string
	server     bool
	kubeconfig string
}

func newExplain(s streams) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [PATH... | -]",
		Short: "Tell how the verdict on an object comes about",
		Long: `Explain tells for each object which policies match and which do not and why, what
the labels of its namespace say, what each mutator changes and from what it knows
the value, what each check says, and where facts about images come from.

With --admission-review it replays the request of a stored AdmissionReview, as the
API server sent it, instead of a manifest. With --server it also asks a live
cluster by a dry run, in which all its admission plugins have a say and nothing is
stored; without --policy, --preset and --bundle it then goes by the policies and
exceptions of that cluster.

The exit codes are those of check.`,
		Example: `  portcullis explain --policy policy.yaml --online deploy/web.yaml
  portcullis explain --admission-review review.json --bundle cluster.yaml
  kubectl get deployment web -o yaml | portcullis explain --server -`,
		RunE: func(cmd *cobra.Command, paths []string) error { return f.run(cmd.Context(), paths, s) },
	}
	flags := cmd.Flags()
	f.judge.register(flags)
	f.input.register(flags)
	flags.StringVar(&f.review, "admission-review", "", "`file` with an AdmissionReview to replay")
	flags.BoolVar(&f.server, "server", false, "ask the cluster too, by a dry run")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `file` for --server (default: $KUBECONFIG, else ~/.kube/config)")
	return cmd
}

func (f *explainFlags) run(ctx context.Context, paths []string, s streams) error {
	if f.server && f.review == "" && len(f.judge.policies) == 0 && f.judge.preset == "" && f.judge.bundle == "" {
		f.judge.cluster = &f.kubeconfig // else the two halves of the answer are about different policies
	}
	j, err := f.judge.judge(ctx, s.err)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(s.out)
	defer out.Flush()
	e := &explainer{judge: j, out: out}
	if f.review != "" {
		if len(paths) > 0 || f.server {
			return usageError{fmt.Errorf("reading --admission-review %q: it is replayed alone, without paths and --server", f.review)}
		}
		if err := e.replay(ctx, f.review); err != nil {
			return usageError{err}
		}
		return e.verdict()
	}
	in, err := f.input.open(ctx, paths, s.in)
	if err != nil {
		return err
	}
	if f.server {
		if e.server, err = newDryRun(f.kubeconfig); err != nil {
			return usageError{err}
		}
	}
	e.all(ctx, in, s.err)
	return e.verdict()
}

// explainer writes explanations.
type explainer struct {
	judge    *judge
	server   *dryRun // nil: not asked
	out      io.Writer
	violated bool
	unjudged bool
}

func (e *explainer) verdict() error {
	switch {
	case e.unjudged:
		return errUnjudged
	case e.violated:
		return errViolated
	}
	return nil
}

// all explains the workloads of an input.
func (e *explainer) all(ctx context.Context, in *input.Input, log io.Writer) {
	namespaces, problems := in.Namespaces(ctx)
	e.judge.add(namespaces)
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			switch {
			case p != nil:
				problems = append(problems, p)
			case d.Workload == nil:
				fmt.Fprintln(log, other(d))
			default:
				shape := shapeOf(d)
				for _, w := range shape.warnings {
					fmt.Fprintln(log, w)
				}
				if shape.problem != nil {
					problems = append(problems, shape.problem)
					continue
				}
				e.workload(ctx, d, e.judge.review(d))
			}
		}
	}
	for _, p := range problems {
		e.unjudged = true
		fmt.Fprintln(log, "portcullis:", p)
	}
}

// replay explains the request of a stored AdmissionReview.
func (e *explainer) replay(ctx context.Context, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading --admission-review: %w", err)
	}
	review, err := webhook.ReadReview(data)
	if err != nil {
		return fmt.Errorf("reading --admission-review %q: %w", path, err)
	}
	w := review.Workload
	review.Namespace, review.Now = e.judge.namespace(review.Namespace.Name), e.judge.now
	e.workload(ctx, &input.Document{
		Source: path, Index: 1, APIVersion: w.Kind.APIVersion(), Kind: w.Kind.Name,
		Namespace: review.Namespace.Name, Name: w.DisplayName(), Workload: w,
	}, review)
	return nil
}

// workload explains one object.
func (e *explainer) workload(ctx context.Context, d *input.Document, r engine.Review) {
	x := &explanation{explainer: e, document: d, review: r}
	x.write(ctx)
}

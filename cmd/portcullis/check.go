package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/report"
)

// The values of --fail-on.
const (
	failOnFail = "fail"
	failOnWarn = "warn"
	failOnNone = "none"
)

// checkFlags are the flags of the check command as they are typed.
type checkFlags struct {
	input         inputFlags
	judge         judgeFlags
	output        string
	color         string
	failOn        string
	baseline      string
	writeBaseline bool
	verbose       bool
}

func newCheck(s streams) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [PATH... | -]",
		Short: "Judge manifests as the webhook would",
		Long: `Check judges manifests by the same engine and the same policies as the webhook:
it repairs each object as the mutators would, and judges what comes out.

A PATH is a file, a folder (searched for *.yaml, *.yml and *.json, hidden folders
left out) or - for standard input, each of at most 16 MiB. Files may have many
documents and lists. The labels of Namespaces in the input count for what is checked
with them. What carries no pod template is counted and named with -v. A folder with a
kustomization is read as plain files unless --kustomize names it.

Without --online no registry is asked: what would need one is reported as skip
with that reason, which is neither pass nor fail.

Exit codes: 0 nothing enforced is violated, 1 it is, 2 wrong usage, or something
in the input could not be judged; the rest of it is judged nevertheless.`,
		Example: `  portcullis check deploy/
  portcullis check --policy policy.yaml -o sarif deploy/ > portcullis.sarif
  helm template shop ./chart | portcullis check --preset baseline -
  portcullis check --helm ./chart --values prod.yaml --bundle cluster.yaml --online
  portcullis check --baseline known.json --write-baseline deploy/`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			return f.run(cmd.Context(), paths, s)
		},
	}
	flags := cmd.Flags()
	f.judge.register(flags)
	f.input.register(flags)
	flags.StringVarP(&f.output, "output", "o", "text", "`format`: "+formatNames())
	flags.StringVar(&f.color, "color", "auto", "`when` to colour the text: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.StringVar(&f.failOn, "fail-on", failOnFail, "`result` that makes the exit code 1: fail, warn (and fail) or none")
	flags.StringVar(&f.baseline, "baseline", "", "`file` of known findings, which warn and do not fail; only new ones do")
	flags.BoolVar(&f.writeBaseline, "write-baseline", false, "write all findings of now into the file of --baseline, and fail for none")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "name the documents that are no workloads")
	return cmd
}

// errViolated is the end of a check that worked and found something: the report
// has said what.
var errViolated = silentError{exitFailed}

// errUnjudged is the end of a check that could not judge everything.
var errUnjudged = silentError{exitUsage}

// checkGC is how much the heap may grow before garbage is collected, in per cent:
// the process is short-lived, and its memory small.
const checkGC = 50

func (f *checkFlags) run(ctx context.Context, paths []string, s streams) error {
	format, options, err := f.format(s.out)
	if err != nil {
		return usageError{err}
	}
	known, err := f.known()
	if err != nil {
		return usageError{err}
	}
	j, err := f.judge.judge(ctx, s.err)
	if err != nil {
		return err
	}
	in, err := f.input.open(ctx, paths, s.in)
	if err != nil {
		return err
	}
	debug.SetGCPercent(checkGC)
	c := &checker{judge: j, verbose: f.verbose, log: s.err, known: known, shapes: newShapes()}
	if err := c.check(ctx, in); err != nil {
		return usageError{fmt.Errorf("stopped before the end: %w", err)} // by a signal
	}
	j.noteUnknown(s.err, c.unknown)
	if f.writeBaseline {
		if err := writeBaseline(f.baseline, c.report.Results); err != nil {
			return usageError{err}
		}
		fmt.Fprintf(s.err, "portcullis: wrote %d findings into %s: with --baseline they are known and refuse nothing; the report shows them without it\n",
			c.failed+c.warned, engine.Quote(f.baseline))
	}
	if err := report.Write(s.out, format, &c.report, options); err != nil {
		return usageError{err} // exit code 1 says that something was found
	}
	return f.verdict(c)
}

// verdict is the exit code as an error.
func (f *checkFlags) verdict(c *checker) error {
	switch {
	case c.report.Summary.Error > 0:
		return errUnjudged
	case f.writeBaseline, f.failOn == failOnNone:
		return nil
	case c.failed > 0, f.failOn == failOnWarn && c.warned > 0:
		return errViolated
	}
	return nil
}

// format reads --output, --color and --fail-on.
func (f *checkFlags) format(out io.Writer) (report.Format, report.Options, error) {
	format, err := report.ParseFormat(f.output)
	options := report.Options{Version: version, Time: time.Now()}
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("reading --output: %w", err))
	}
	switch f.color {
	case "always":
		options.Color = true
	case "auto":
		options.Color = isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	case "never":
	default:
		errs = append(errs, fmt.Errorf("reading --color %q: want auto, always or never", f.color))
	}
	switch f.failOn {
	case failOnFail, failOnWarn, failOnNone:
	default:
		errs = append(errs, fmt.Errorf("reading --fail-on %q: want fail, warn or none", f.failOn))
	}
	return format, options, errors.Join(errs...)
}

// known reads --baseline, which need not be there to be written.
func (f *checkFlags) known() (*baseline, error) {
	switch {
	case f.writeBaseline && f.baseline == "":
		return nil, errors.New("reading --write-baseline: name the file with --baseline")
	case f.writeBaseline || f.baseline == "":
		return nil, nil
	}
	return readBaseline(f.baseline)
}

func formatNames() string {
	var names []string
	for _, format := range report.Formats() {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portcullis-dev/portcullis/input"
)

// fixFlags are the flags of the fix command as they are typed.
type fixFlags struct {
	input  inputFlags
	judge  judgeFlags
	write  bool
	diff   bool
	update bool
	prune  bool
	// override: what a manifest sets itself is changed too.
	override bool
}

func newFix(s streams) *cobra.Command {
	f := fixFlags{judge: judgeFlags{completes: true}}
	cmd := &cobra.Command{
		Use:   "fix [PATH... | -]",
		Short: "Repair manifests, and keep their comments and order",
		Long: `Fix judges manifests as check does and writes into them what the webhook would set,
and the fixes of podSecurity findings that are right for sure. Every other byte of a
file stays as it is. The result is judged again: a document whose fixes do not hold
is left alone.

What is not set is filled in. What the manifest sets itself, such as privileged: true,
hostNetwork, host ports and added capabilities, may be needed: it is reported with its
fix and left for somebody to decide. --override changes it too.

Without --write and --diff the repaired documents go to standard output, all of
them. What was fixed, what was not and why goes to standard error. A second run
changes nothing.

A user is never guessed: runAsNonRoot is set, and capabilities are dropped, where the
manifest, or with --online the image, says that the user is not root. Neither is what
to use in the place of a volume.

With --lock the digests of images come from a file that is reviewed in Git, and
those that are asked for with --online go there. --update asks for all of them anew,
and gives each tag in the manifests that the lock has the digest of the lock. Without
it a manifest that has another digest is reported. --prune takes the tags out of the
lock that none of the manifests names: give it all manifests that the lock is for.

A link in a folder that leads out of what was named is read, and with --write it is
reported and not written.

Exit codes: 0 nothing enforced is violated any more, 1 something is, 2 wrong usage,
or something could not be judged or written; the rest is repaired nevertheless.`,
		Example: `  portcullis fix --diff deploy/
  portcullis fix --write --policy policy.yaml deploy/
  helm template shop ./chart | portcullis fix --preset baseline - | kubectl apply -f -
  portcullis fix --write --online --lock portcullis.lock deploy/
  portcullis fix --write --online --lock portcullis.lock --update --prune deploy/
  portcullis fix --diff --override deploy/`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			return f.run(cmd.Context(), paths, s)
		},
	}
	flags := cmd.Flags()
	f.judge.register(flags)
	f.input.register(flags)
	flags.BoolVarP(&f.write, "write", "w", false, "write the files in place, each at once or not at all")
	flags.BoolVarP(&f.diff, "diff", "d", false, "show what would change, for patch -p1, and write nothing")
	flags.BoolVar(&f.update, "update", false, "ask registries for all digests of --lock anew, and write them into the manifests")
	flags.BoolVar(&f.prune, "prune", false, "take the tags out of --lock that none of the manifests given names; nothing is taken out if not all of them can be read")
	flags.BoolVar(&f.override, "override", false, "change too what a manifest sets itself, such as hostNetwork, privileged and added capabilities")
	return cmd
}

// check reads how the flags go together.
func (f *fixFlags) check(paths []string) error {
	var errs []error
	if f.write && f.diff {
		errs = append(errs, errors.New("--write and --diff are given: give one of them"))
	}
	if f.write {
		if len(f.input.kustomize)+len(f.input.charts) > 0 {
			errs = append(errs, errors.New("reading --write: what --kustomize and --helm render is in no file that could be written; leave --write out, and mend the sources by what --diff shows"))
		}
		for _, path := range paths {
			if path == input.Stdin {
				errs = append(errs, errors.New("reading --write: standard input cannot be written; leave --write out"))
			}
		}
	}
	switch {
	case f.update && f.judge.lock == "":
		errs = append(errs, errors.New("reading --update: name the file with --lock"))
	case f.prune && f.judge.lock == "":
		errs = append(errs, errors.New("reading --prune: name the file with --lock"))
	case f.update && !f.judge.online:
		errs = append(errs, errors.New("reading --update: it asks registries; give --online too"))
	}
	return errors.Join(errs...)
}

func (f *fixFlags) run(ctx context.Context, paths []string, s streams) error {
	if err := f.check(paths); err != nil {
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
	derive, err := newDeriver(j)
	if err != nil {
		return err
	}
	derive.update, derive.override = f.update, f.override
	out := bufio.NewWriter(s.out)
	r := &fixer{judge: j, derive: derive, log: s.err, deliver: f.delivery(out)}
	if r.stale, err = f.prepareLock(ctx, j, in, s.err); err != nil {
		return usageError{err}
	}
	stopped := r.all(ctx, in)
	if stopped != nil {
		stopped = fmt.Errorf("stopped before the end: %w", stopped) // by a signal
	}
	j.noteUnknown(s.err, r.unknown)
	err = f.keepLock(j.lock, out, s.err)
	if err := errors.Join(stopped, err, out.Flush()); err != nil {
		return usageError{err}
	}
	return r.verdict()
}

// delivery is where repaired files go.
func (f *fixFlags) delivery(out *bufio.Writer) delivery {
	switch {
	case f.write:
		return writeBack{}
	case f.diff:
		return diffs{out}
	}
	return &stream{out: out}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// binaries are the programs that are measured, and the policies for one of them.
type binaries struct{ floor, psa, portcullis, preset, everything string }

// build compiles the programs of the cells into dir as a release is compiled.
func build(ctx context.Context, dir string, s settings) (binaries, error) {
	module, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}"))
	if err != nil {
		return binaries{}, fmt.Errorf("finding the module: %w", err)
	}
	b := binaries{
		floor: filepath.Join(dir, "floor"), psa: filepath.Join(dir, "psawebhook"), portcullis: filepath.Join(dir, "portcullis"),
		preset:     filepath.Join(module, "policies", "presets", "restricted.yaml"),
		everything: filepath.Join(module, "bench", "load", "everything.yaml"),
	}
	var programs []string
	if s.wants(floorCell) {
		programs = append(programs, "./bench/floor")
	}
	if s.wants(psaCell) {
		programs = append(programs, "./bench/psawebhook")
	}
	switch {
	case s.portcullis != "":
		if b.portcullis, err = filepath.Abs(s.portcullis); err != nil {
			return b, fmt.Errorf("finding %q: %w", s.portcullis, err)
		}
	case s.wantsPortcullis():
		programs = append(programs, "./cmd/portcullis")
	}
	if len(programs) == 0 {
		return b, nil
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, programs...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := output(cmd); err != nil {
		return b, fmt.Errorf("building: %w", err)
	}
	return b, nil
}

// output runs a command and returns what it prints, or an error with it.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(bytes.TrimSpace(stdout.Bytes())), nil
}

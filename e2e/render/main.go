// Command render writes the files below manifests/ that are made of others there.
// Without it an installation in one file would be one that nobody has tested.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	manifests := filepath.Join(root, "manifests")
	revised, err := harness.Revised(manifests)
	if err != nil {
		return err
	}
	if err := write(manifests, revised); err != nil { // the rest is made of these too
		return err
	}
	files, err := harness.Generated(manifests)
	if err != nil {
		return err
	}
	return write(manifests, files)
}

func write(manifests string, files map[string][]byte) error {
	for name, data := range files {
		path := filepath.Join(manifests, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// Command reference writes docs/policies.md, the list of every field of a PodPolicy
// and of a PolicyException, from the CRDs, which are made from the Go types.
//
// Without it the fields would be described in two places, and the one that people
// read would be the one that is wrong.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// run writes the document of the tree at root.
func run(root string) error {
	text, err := document(filepath.Join(root, "manifests", "crds"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "policies.md"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}

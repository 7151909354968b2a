// Package harness runs the real thing on one machine: an API server, the built
// portcullis binary registered with it by the manifests that ship, and a registry
// in this process. Everything is on loopback.
//
// Without it the suites would test handlers and fakes, and not what decides
// whether a pod is stored: the API server's own defaulting, conversion, patching,
// failure policies and connections.
package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Root is the folder of the module, above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding the module: no go.mod in the working directory or above it")
		}
		dir = parent
	}
}

// readFolders opens the folders whose files end up in the binary or on the API
// server. `go test` keeps a result until a file or folder that the test opened
// changes, and does not see what the compiler reads.
func readFolders(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			return nil
		}
		if path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin" || entry.Name() == "docs") {
			return filepath.SkipDir
		}
		folder, err := os.Open(path)
		if err != nil {
			return err
		}
		return folder.Close()
	})
}

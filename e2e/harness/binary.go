package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles cmd/portcullis into dir and returns the path of the binary.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if err := readFolders(root); err != nil {
		return "", fmt.Errorf("reading the folders of the module: %w", err)
	}
	binary := filepath.Join(dir, "portcullis")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/portcullis")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling ./cmd/portcullis: %w\n%s", err, output)
	}
	return binary, nil
}

//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of the test images without their host. They are targets of
// images/Dockerfile.
const (
	// webImage serves on port 8080 as user 1000.
	webImage = "e2e/web:1"
	// rootImage is the same program and says nothing about its user.
	rootImage = "e2e/root:1"
	// secondImage is another that no test but one uses.
	secondImage = "e2e/second:1"
	// namedImage runs as "web", whom its /etc/passwd gives the uid 1234.
	namedImage = "e2e/named:1"
	// healthImage has a HEALTHCHECK.
	healthImage = "e2e/health:1"
	// pythonImage is Debian's python3 with the client of Kubernetes.
	pythonImage = "e2e/python:1"
)

// ownImage is Portcullis in the registry, as the manifests name it.
const ownImage = "portcullis-dev/portcullis:latest"

// previousImage is what is upgraded from.
const previousImage = "portcullis-dev/portcullis:previous"

// inTest is how a pod names a test image.
func inTest(target string) string { return testRegistry + "/" + target }

// buildImages builds the test images with Docker. The result has the images of
// Docker by their names in the registry.
func buildImages(ctx context.Context, root, dir string) (map[string]string, error) {
	built := map[string]string{ownImage: os.Getenv(imageVariable)}
	folder := filepath.Join(dir, "images")
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(root, "e2e", "kind", "images"))); err != nil {
		return nil, fmt.Errorf("copying the images' files: %w", err)
	}
	build := command{
		args: []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(folder, "app"), "./e2e/kind/app"},
		dir:  root, env: []string{"CGO_ENABLED=0", "GOOS=linux"},
	}
	if _, err := build.run(ctx); err != nil {
		return nil, err
	}
	targets := map[string]string{webImage: "web", rootImage: "root", secondImage: "web", namedImage: "named", healthImage: "health"}
	for name, target := range targets {
		built[name] = clusterName + ":" + target
		if err := dockerBuild(ctx, folder, built[name], "--target", target); err != nil {
			return nil, fmt.Errorf("building image %q: %w", name, err)
		}
	}
	built[pythonImage] = clusterName + ":python"
	if err := buildPython(ctx, root, built[pythonImage]); err != nil {
		return nil, fmt.Errorf("building image %q: %w", pythonImage, err)
	}
	return built, nil
}

// buildPython builds an image of Debian packages, which a script keeps in the
// user's cache.
func buildPython(ctx context.Context, root, as string) error {
	output, err := command{args: []string{filepath.Join(root, "e2e", "kind", "images", "python")}, timeout: 10 * time.Minute}.run(ctx)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return dockerBuild(ctx, lines[len(lines)-1], as)
}

func dockerBuild(ctx context.Context, folder, as string, args ...string) error {
	_, err := command{args: slices.Concat([]string{"docker", "build", "--quiet", "--tag", as}, args, []string{folder})}.run(ctx)
	return err
}

// relabel makes an image with the same files and another digest.
func relabel(ctx context.Context, image, as string) error {
	args := []string{"docker", "build", "--quiet", "--tag", as, "--label", "previous=true", "-"}
	_, err := command{args: args, stdin: "FROM " + image + "\n"}.run(ctx)
	return err
}

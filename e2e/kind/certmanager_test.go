//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

const (
	// certManagerVariable names cert-manager's release manifest, a file or an
	// address. Not set: the release below.
	certManagerVariable = "CERT_MANAGER_MANIFEST"
	certManagerManifest = "https://github.com/cert-manager/cert-manager/releases/download/v1.21.2/cert-manager.yaml"
	// certManagerArchiveVariable names an archive of its images, for nodes that
	// cannot pull them.
	certManagerArchiveVariable = "CERT_MANAGER_ARCHIVE"
)

// installCertManager installs cert-manager and waits until it is available.
func (c *cluster) installCertManager(ctx context.Context) error {
	if archive := os.Getenv(certManagerArchiveVariable); archive != "" {
		if _, err := (command{args: kindTool("load", "image-archive", archive)}).run(ctx); err != nil {
			return fmt.Errorf("installing cert-manager: %w", err)
		}
	}
	manifest := os.Getenv(certManagerVariable)
	if manifest == "" {
		manifest = certManagerManifest
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "--filename", manifest},
		{"--namespace", "cert-manager", "wait", "--for", "condition=Available", "deployment", "--all", "--timeout", "180s"},
	} {
		args = append([]string{harness.Program("kubectl"), "--kubeconfig", c.kubeconfig}, args...)
		if _, err := (command{args: args}).run(ctx); err != nil {
			return fmt.Errorf("installing cert-manager: %w", err)
		}
	}
	return nil
}

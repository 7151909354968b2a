//go:build kind

package kind

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

const (
	registryContainer = clusterName + "-registry"
	// registryVariable names the image of a registry that listens on port 5000.
	registryVariable = "REGISTRY_IMAGE"
	defaultRegistry  = "registry:3"
	registryPort     = "5000"

	// testRegistry is the host in the references of test images. Nobody else has it.
	testRegistry = "registry.test"
	// ownRegistry is the host in the manifests that ship.
	ownRegistry = "ghcr.io"
)

// registry is an image registry on the network of the nodes. They pull from it what
// testRegistry and ownRegistry have.
type registry struct {
	// published is its host:port on this machine, where images are pushed to.
	published string
	// address is its host:port in the network of the nodes, which pods reach too.
	address string
}

// startRegistry starts the registry, unless an earlier run has kept it, and makes
// the nodes use it.
func startRegistry(ctx context.Context, nodes []string) (*registry, error) {
	if output, err := inspect(ctx, "{{.State.Running}}"); err != nil || output != "true" {
		if err := removeRegistry(ctx); err != nil {
			return nil, err
		}
		image := os.Getenv(registryVariable)
		if image == "" {
			image = defaultRegistry
		}
		// A port of loopback: Docker pushes there without TLS.
		args := []string{
			"docker", "run", "--detach", "--name", registryContainer, "--network", "kind", "--publish", "127.0.0.1::" + registryPort, image,
		}
		if _, err := (command{args: args}).run(ctx); err != nil {
			return nil, fmt.Errorf("starting a registry: %w", err)
		}
	}
	ip, err := inspect(ctx, "{{.NetworkSettings.Networks.kind.IPAddress}}")
	if err != nil {
		return nil, err
	}
	published, err := inspect(ctx, `{{(index (index .NetworkSettings.Ports "`+registryPort+`/tcp") 0).HostPort}}`)
	if err != nil {
		return nil, err
	}
	r := &registry{published: net.JoinHostPort("127.0.0.1", published), address: net.JoinHostPort(ip, registryPort)}
	return r, r.mirror(ctx, nodes)
}

// inspect reads a field of the registry's container.
func inspect(ctx context.Context, format string) (string, error) {
	output, err := command{args: []string{"docker", "inspect", "--type", "container", "--format", format, registryContainer}}.run(ctx)
	return strings.TrimSpace(output), err
}

// mirror makes the container runtime of the nodes ask this registry, and no other.
func (r *registry) mirror(ctx context.Context, nodes []string) error {
	hosts := fmt.Sprintf("server = %[1]q\n[host.%[1]q]\n", "http://"+r.address)
	for _, node := range nodes {
		for _, host := range []string{testRegistry, ownRegistry} {
			script := fmt.Sprintf("mkdir -p /etc/containerd/certs.d/%[1]s && cat >/etc/containerd/certs.d/%[1]s/hosts.toml", host)
			if _, err := (command{args: []string{"docker", "exec", "-i", node, "sh", "-c", script}, stdin: hosts}).run(ctx); err != nil {
				return fmt.Errorf("making node %s use the registry: %w", node, err)
			}
		}
	}
	return nil
}

// pushAll stores images under a name without a host: those of Docker, by that name.
func (r *registry) pushAll(ctx context.Context, images map[string]string) error {
	var pushes errgroup.Group
	pushes.SetLimit(2)
	for target, image := range images {
		pushes.Go(func() error { return r.push(ctx, image, target) })
	}
	return pushes.Wait()
}

// push stores an image of Docker under a name without a host.
func (r *registry) push(ctx context.Context, image, target string) error {
	there := r.published + "/" + target
	if _, err := (command{args: []string{"docker", "tag", image, there}}).run(ctx); err != nil {
		return fmt.Errorf("pushing image %q: %w", image, err)
	}
	if _, err := (command{args: []string{"docker", "push", "--quiet", there}}).run(ctx); err != nil {
		return fmt.Errorf("pushing image %q: %w", image, err)
	}
	return nil
}

// digest is what the registry has under a name and tag. It is asked directly, by
// nothing that is under test.
func (r *registry) digest(t testing.TB, target string) string {
	t.Helper()
	ref, err := name.ParseReference(r.published+"/"+target, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Head(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("asking the registry for %q: %v", target, err)
	}
	return found.Digest.String()
}

// config is a RegistryConfig with which Portcullis asks this registry for the images
// of testRegistry. It remembers what a tag stands for no longer than a second.
func (r *registry) config() string {
	host, _, _ := net.SplitHostPort(r.address)
	return fmt.Sprintf(`apiVersion: portcullis.dev/v1alpha1
kind: RegistryConfig
allow: {cidrs: [%s/32]}
insecure: [%q]
mirrors:
- {from: %s, to: [%q]}
tagTTL: 1s
`, host, r.address, testRegistry, r.address)
}

// removeRegistry removes the container, if there is one.
func removeRegistry(ctx context.Context) error {
	_, err := command{args: []string{"docker", "rm", "--force", "--volumes", registryContainer}}.run(ctx)
	if err != nil && strings.Contains(err.Error(), "No such container") {
		return nil
	}
	return err
}

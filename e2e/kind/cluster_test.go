//go:build kind

package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// Variables that `make e2e` sets or passes on.
const (
	// imageVariable names the image under test, as Docker knows it.
	imageVariable = "IMAGE"
	// nodeImageVariable names the image of the nodes. Not set: kind's own.
	nodeImageVariable = "KIND_NODE_IMAGE"
	// nodesVariable is the number of nodes, 1 if it is not set.
	nodesVariable = "KIND_NODES"
	// keepVariable, when set, leaves the cluster for a look, and for the next run.
	keepVariable = "KIND_KEEP"
)

// clusterName is also that of the cluster's containers.
const clusterName = "portcullis-e2e"

// cluster is a cluster of kind with a registry beside it.
type cluster struct {
	// nodes are the names of their containers, the control plane's first.
	nodes      []string
	kubeconfig string
	config     *rest.Config
	client     client.Client
	clientset  kubernetes.Interface
	registry   *registry
	previous   *previous
	// root is the folder of the module.
	root string
	keep bool

	dir   string // of this run's files
	names atomic.Int64

	calm      sync.Mutex
	installed bool // for the tests that run at once
}

// create makes the cluster and all that is there before Portcullis: the images in
// the registry, and cert-manager.
func create(ctx context.Context) (*cluster, error) {
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", clusterName+"-")
	if err != nil {
		return nil, fmt.Errorf("creating a cluster: %w", err)
	}
	c := &cluster{root: root, dir: dir, keep: os.Getenv(keepVariable) != "", kubeconfig: filepath.Join(dir, "kubeconfig")}
	if err := c.create(ctx); err != nil {
		logs := c.exportLogs()
		if !c.keep {
			err = errors.Join(err, c.delete())
		}
		return nil, fmt.Errorf("%w\n%s", err, logs)
	}
	return c, nil
}

func (c *cluster) create(ctx context.Context) error {
	begin := time.Now()
	if os.Getenv(imageVariable) == "" {
		return fmt.Errorf("%s is not set, and names the image under test: run make e2e, or make image and export %s", imageVariable, imageVariable)
	}
	built, err := buildImages(ctx, c.root, c.dir) // for Docker's cache alone a test image takes a second
	if err != nil {
		return err
	}
	built[previousImage] = clusterName + ":previous"
	if c.previous, err = buildPrevious(ctx, c.root, c.dir, built[previousImage]); err != nil {
		return err
	}
	if err := c.createNodes(ctx); err != nil {
		return err
	}
	say("%d nodes are up after %s", len(c.nodes), time.Since(begin).Round(time.Second))
	var parts errgroup.Group
	parts.Go(func() error { return c.installCertManager(ctx) })
	parts.Go(func() (err error) {
		if c.registry, err = startRegistry(ctx, c.nodes); err != nil {
			return err
		}
		return c.registry.pushAll(ctx, built)
	})
	if err := parts.Wait(); err != nil {
		return err
	}
	say("ready after %s", time.Since(begin).Round(time.Second))
	return nil
}

// say tells of progress. Tests of `go test -v` have their own lines.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "kind: "+format+"\n", args...) }

// kindTool is kind as go.mod pins it.
func kindTool(args ...string) []string {
	return append([]string{"go", "tool", "kind"}, append(args, "--name", clusterName)...)
}

// createNodes creates the cluster, unless an earlier run has kept it.
func (c *cluster) createNodes(ctx context.Context) error {
	nodes, err := c.listNodes(ctx)
	if err != nil {
		return err
	}
	if c.keep && len(nodes) > 0 {
		if _, err := (command{args: kindTool("export", "kubeconfig", "--kubeconfig", c.kubeconfig)}).run(ctx); err != nil {
			return err
		}
		c.nodes = nodes
		for _, node := range nodes { // the images under test are others by now, of the same name
			for _, image := range []string{ownImage, previousImage} {
				_, _ = command{args: []string{"docker", "exec", node, "crictl", "rmi", ownRegistry + "/" + image}}.run(ctx)
			}
		}
		return c.connect()
	}
	if err := c.deleteNodes(ctx); err != nil { // of a run that was killed
		return err
	}
	count, err := nodeCount()
	if err != nil {
		return err
	}
	config := clusterConfig + strings.Repeat("- role: worker\n", count-1)
	args := kindTool("create", "cluster", "--config", "-", "--kubeconfig", c.kubeconfig, "--wait", "180s")
	if image := os.Getenv(nodeImageVariable); image != "" {
		args = append(args, "--image", image)
	}
	if _, err := (command{args: args, stdin: config, timeout: 10 * time.Minute}).run(ctx); err != nil {
		return err
	}
	if c.nodes, err = c.listNodes(ctx); err != nil {
		return err
	}
	return c.connect()
}

// clusterConfig is the cluster of one node. The built-in PodSecurity plugin is off,
// so that what refuses and warns is Portcullis. One control plane: kind puts a load
// balancer before several, whose image would have to be there too.
const clusterConfig = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
kubeadmConfigPatches:
- |
  apiVersion: kubeadm.k8s.io/v1beta4
  kind: ClusterConfiguration
  apiServer:
    extraArgs: [{name: disable-admission-plugins, value: PodSecurity}]
- |
  apiVersion: kubeadm.k8s.io/v1beta3
  kind: ClusterConfiguration
  apiServer:
    extraArgs: {disable-admission-plugins: PodSecurity}
nodes:
- role: control-plane
`

func nodeCount() (int, error) {
	text := os.Getenv(nodesVariable)
	if text == "" {
		return 1, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 || count > 5 {
		return 0, fmt.Errorf("reading %s %q: want a number from 1 to 5", nodesVariable, text)
	}
	return count, nil
}

// listNodes are the cluster's containers, the control plane's first. None is not an
// error.
func (c *cluster) listNodes(ctx context.Context) ([]string, error) {
	output, err := command{args: []string{
		"docker", "ps", "--filter", "label=io.x-k8s.kind.cluster=" + clusterName, "--format", "{{.Names}}",
	}}.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for nodes, with Docker: %w", err)
	}
	nodes := strings.Fields(output)
	slices.Sort(nodes) // "-control-plane", "-worker", "-worker2"
	return nodes, nil
}

// connect makes the clients, a cluster admin's.
func (c *cluster) connect() (err error) {
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig of the cluster: %w", err)
	}
	c.config.QPS = -1 // the load has its own pace
	if c.client, err = client.New(c.config, client.Options{}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if c.clientset, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// exportLogs keeps the logs of nodes and pods, and says where.
func (c *cluster) exportLogs() string {
	dir := filepath.Join(os.TempDir(), clusterName+"-logs", time.Now().Format("20060102-150405"))
	output, err := command{args: kindTool("export", "logs", dir)}.run(context.Background())
	if err != nil {
		return fmt.Sprintf("exporting the logs of the cluster: %v", err)
	}
	// What the nodes' files do not say: what became of the pods.
	state, err := command{args: []string{
		harness.Program("kubectl"), "--kubeconfig", c.kubeconfig, "get", "pods,events", "--all-namespaces", "--output", "wide",
	}}.run(context.Background())
	if err != nil {
		state = err.Error()
	}
	if err := os.WriteFile(filepath.Join(dir, "objects.txt"), []byte(state), 0o600); err != nil {
		return fmt.Sprintf("exporting the logs of the cluster: %v\n%s", err, output)
	}
	return "the logs of the cluster are in " + dir
}

func (c *cluster) deleteNodes(ctx context.Context) error {
	_, err := command{args: kindTool("delete", "cluster", "--kubeconfig", c.kubeconfig)}.run(ctx)
	return err
}

// delete removes the cluster, the registry and the files.
func (c *cluster) delete() error {
	ctx := context.Background()
	return errors.Join(removeRegistry(ctx), c.deleteNodes(ctx), os.RemoveAll(c.dir))
}

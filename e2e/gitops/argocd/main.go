// Command argocd says whether Argo CD would call a live object in sync with its
// manifest, by each of the ways in which Argo CD can be told to compare them. The
// comparison is Argo CD's own.
//
// It is a module of its own: Argo CD's dependencies are no business of the product.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/util/proto"
	"sigs.k8s.io/yaml"
)

// manager is the name under which Argo CD owns fields.
const manager = "argocd-controller"

func main() { os.Exit(run(context.Background(), os.Args[1:])) }

func run(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("argocd", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", os.Getenv("KUBECONFIG"), "`FILE` that names the API server and the namespace")
	if flags.Parse(args) != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "want one file, with one object")
		return 2
	}
	c, err := connect(*kubeconfig)
	if err == nil {
		err = c.compare(ctx, os.Stdout, flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// cluster is one namespace of an API server.
type cluster struct {
	client    dynamic.Interface
	schema    *managedfields.GvkParser
	namespace string
}

func connect(kubeconfig string) (*cluster, error) {
	file := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, &clientcmd.ConfigOverrides{})
	config, err := file.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %q: %w", kubeconfig, err)
	}
	namespace, _, err := file.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %q: %w", kubeconfig, err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	schema, err := readSchema(config)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of the API server: %w", err)
	}
	return &cluster{client: client, schema: schema, namespace: namespace}, nil
}

func readSchema(config *rest.Config) (*managedfields.GvkParser, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	document, err := client.OpenAPISchema()
	if err != nil {
		return nil, err
	}
	models, err := proto.NewOpenAPIData(document)
	if err != nil {
		return nil, err
	}
	return managedfields.NewGVKParser(models, false)
}

// compare writes a line for each way to compare: its name and the sync status.
func (c *cluster) compare(ctx context.Context, out io.Writer, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	manifest := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &manifest.Object); err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	manifest.SetNamespace(c.namespace) // as an Application's destination does
	live, err := c.resource(manifest).Get(ctx, manifest.GetName(), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading what runs: %w", err)
	}
	serverSide := []diff.Option{
		diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(c), diff.WithGVKParser(c.schema), diff.WithManager(manager),
	}
	for _, way := range []struct {
		name    string
		options []diff.Option
	}{
		{"Legacy", nil},
		{"ServerSideDiff=true", append(serverSide, diff.WithIgnoreMutationWebhook(true))},
		{"ServerSideDiff=true,IncludeMutationWebhook=true", append(serverSide, diff.WithIgnoreMutationWebhook(false))},
	} {
		result, err := diff.Diff(manifest.DeepCopy(), live.DeepCopy(), way.options...)
		if err != nil {
			return fmt.Errorf("comparing by %s: %w", way.name, err)
		}
		status := "Synced"
		if result.Modified {
			status = "OutOfSync"
			fmt.Fprintf(os.Stderr, "%s:\n- %s\n+ %s\n", way.name, result.NormalizedLive, result.PredictedLive)
		}
		fmt.Fprintln(out, way.name, status)
	}
	return nil
}

// Run asks the API server what a server-side apply would store, with all
// admission. It is forced, as Argo CD's is (newApplyOptions in pkg/utils/kube).
func (c *cluster) Run(ctx context.Context, manifest *unstructured.Unstructured, manager string) (string, error) {
	data, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	force := true
	predicted, err := c.resource(manifest).Patch(ctx, manifest.GetName(), types.ApplyPatchType, data,
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, Force: &force, FieldManager: manager})
	if err != nil {
		return "", err
	}
	data, err = json.Marshal(predicted)
	return string(data), err
}

func (c *cluster) resource(object *unstructured.Unstructured) dynamic.ResourceInterface {
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	return c.client.Resource(resource).Namespace(c.namespace)
}

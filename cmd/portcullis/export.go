package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/policies"
)

func newExport(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what a cluster has, or can enforce, into files",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("what to export is missing; see %s --help", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(newExportBundle(s), newExportVAP(s))
	return cmd
}

// exportFlags are the flags of the export bundle command as they are typed.
type exportFlags struct {
	kubeconfig string
	preset     string
	exceptions []string
	file       string
}

func newExportBundle(s streams) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Write the cluster's policies, exceptions and namespace labels for check --bundle",
		Long: `Bundle writes the PodPolicies in force, the PolicyExceptions from them and the
labels of all namespaces into one file, sorted, so that it can be kept in Git. With
check --bundle the verdict in CI is the verdict of that cluster. It reads
PodPolicies, PolicyExceptions and namespaces and changes nothing.`,
		Example: `  portcullis export bundle --file cluster.yaml
  portcullis check --bundle cluster.yaml deploy/`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&f.preset, "preset", "audit", "`preset` that the cluster's webhook is started with, which is in force while the cluster has no PodPolicy")
	flags.StringSliceVar(&f.exceptions, "exception-namespaces", []string{policies.DefaultExceptionNamespace}, "`namespaces` that the cluster's webhook counts PolicyExceptions in")
	flags.StringVar(&f.file, "file", "", "`file` to write, as a whole or not at all (default: standard output)")
	return cmd
}

func (f *exportFlags) run(ctx context.Context, s streams) error {
	config, err := restConfig(f.kubeconfig)
	if err != nil {
		return usageError{err}
	}
	preset, err := policies.Preset(f.preset)
	if err != nil {
		return usageError{fmt.Errorf("reading --preset: %w", err)}
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	if err := policies.AddToScheme(scheme); err != nil {
		return err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	b := &bundleWriter{cluster: reader, fallback: preset, exceptions: f.exceptions}
	data, err := b.write(ctx)
	if err != nil {
		return err
	}
	if f.file == "" {
		_, err = s.out.Write(data)
		return err
	}
	if err := replaceFile(f.file, data); err != nil {
		return usageError{fmt.Errorf("writing --file %q: %w", f.file, err)}
	}
	return nil
}

// exported is a document of a bundle, with what judging needs of an object.
type exported struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   exportedMetadata `json:"metadata"`
	Spec       any              `json:"spec,omitempty"`
}

type exportedMetadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// CreationTimestamp of an exception is what its longest duration counts from.
	CreationTimestamp *metav1.Time `json:"creationTimestamp,omitempty"`
}

// bundleWriter writes the policies that the webhook of a cluster has in force, the
// exceptions from them and the labels of the cluster's namespaces.
type bundleWriter struct {
	cluster client.Reader
	// fallback is in force while the cluster has no PodPolicy.
	fallback *policies.PodPolicy
	// exceptions are the namespaces that exceptions count in.
	exceptions []string
}

func (w *bundleWriter) write(ctx context.Context) ([]byte, error) {
	var documents []exported
	for _, part := range []func(context.Context) ([]exported, error){w.policyDocuments, w.exceptionDocuments, w.namespaceDocuments} {
		more, err := part(ctx)
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(more, func(a, b exported) int {
			return cmp.Or(strings.Compare(a.Metadata.Namespace, b.Metadata.Namespace), strings.Compare(a.Metadata.Name, b.Metadata.Name))
		})
		documents = append(documents, more...)
	}
	var b bytes.Buffer
	b.WriteString("# Written by portcullis export bundle, for portcullis check --bundle.\n")
	for _, d := range documents {
		data, err := yaml.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("writing %s %q: %w", d.Kind, d.Metadata.Name, err)
		}
		b.WriteString("---\n")
		b.Write(data)
	}
	return b.Bytes(), nil
}

func (w *bundleWriter) policyDocuments(ctx context.Context) ([]exported, error) {
	list, err := clusterPolicies(ctx, w.cluster)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		list = []*policies.PodPolicy{w.fallback}
	}
	if _, err := policies.Compile(list); err != nil {
		return nil, fmt.Errorf("the cluster's policies are not valid, so that its webhook goes by former ones: %w", err)
	}
	var documents []exported
	for _, p := range list {
		documents = append(documents, exported{policies.GroupVersion().String(), policies.Kind, exportedMetadata{Name: p.Name}, &p.Spec})
	}
	return documents, nil
}

func (w *bundleWriter) exceptionDocuments(ctx context.Context) ([]exported, error) {
	list, err := clusterExceptions(ctx, w.cluster, w.exceptions)
	if err != nil {
		return nil, err
	}
	var documents []exported
	for _, e := range list {
		metadata := exportedMetadata{Name: e.Name, Namespace: e.Namespace, CreationTimestamp: &e.CreationTimestamp}
		documents = append(documents, exported{policies.GroupVersion().String(), policies.ExceptionKind, metadata, &e.Spec})
	}
	return documents, nil
}

func (w *bundleWriter) namespaceDocuments(ctx context.Context) ([]exported, error) {
	var documents []exported
	namespaces := &corev1.NamespaceList{}
	for {
		if err := w.cluster.List(ctx, namespaces, client.Limit(500), client.Continue(namespaces.Continue)); err != nil {
			return nil, fmt.Errorf("listing the cluster's namespaces: %w", err)
		}
		for _, n := range namespaces.Items {
			documents = append(documents, exported{"v1", "Namespace", exportedMetadata{Name: n.Name, Labels: n.Labels}, nil})
		}
		if namespaces.Continue == "" {
			return documents, nil
		}
	}
}

// clusterPolicies are the PodPolicies of a cluster, none where it does not know
// the kind.
func clusterPolicies(ctx context.Context, cluster client.Reader) ([]*policies.PodPolicy, error) {
	var list policies.PodPolicyList
	err := cluster.List(ctx, &list)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the cluster's PodPolicies: %w", err)
	}
	all := make([]*policies.PodPolicy, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
		policies.Default(all[i])
	}
	return all, nil
}

// clusterExceptions are the PolicyExceptions of some namespaces of a cluster, none
// where it does not know the kind. What is invalid is left out, as the webhook does.
func clusterExceptions(ctx context.Context, cluster client.Reader, namespaces []string) ([]*policies.PolicyException, error) {
	var valid []*policies.PolicyException
	for _, namespace := range namespaces {
		var list policies.PolicyExceptionList
		err := cluster.List(ctx, &list, client.InNamespace(namespace))
		if meta.IsNoMatchError(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing the PolicyExceptions of namespace %q: %w", namespace, err)
		}
		for i := range list.Items {
			if e := &list.Items[i]; len(policies.ValidateException(e)) == 0 {
				valid = append(valid, e)
			}
		}
	}
	return valid, nil
}

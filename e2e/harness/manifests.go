package harness

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Render builds a kustomization as `kubectl apply -k` does.
func Render(dir string) ([]*unstructured.Unstructured, error) {
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range rendered.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("writing %s of %s: %w", r.CurId(), dir, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("reading %s of %s: %w", r.CurId(), dir, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// Endpoint is where the webhook is reached, and by which authority that is known.
type Endpoint struct {
	// URL is the part before the path: https://127.0.0.1:9443.
	URL string
	// CA is in PEM form; empty leaves it to somebody else.
	CA []byte
}

// Redirect points a rendered webhook configuration from its Service, which needs
// a cluster network, to an endpoint. Everything else stays as it ships.
func Redirect(configuration *unstructured.Unstructured, to Endpoint) error {
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return fmt.Errorf("reading the webhooks of %s: %w", configuration.GetName(), err)
	}
	for i, w := range webhooks {
		webhook, ok := w.(map[string]any)
		if !ok {
			return fmt.Errorf("reading webhooks[%d] of %s: got %T, want an object", i, configuration.GetName(), w)
		}
		path, found, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
		if err != nil || !found {
			return fmt.Errorf("reading webhooks[%d].clientConfig.service.path of %s: not a text", i, configuration.GetName())
		}
		target := map[string]any{"url": to.URL + path}
		if len(to.CA) > 0 {
			target["caBundle"] = encode(to.CA)
		}
		webhook["clientConfig"] = target
	}
	return unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}

// IsWebhookConfiguration tells the objects that Redirect is for.
func IsWebhookConfiguration(object *unstructured.Unstructured) bool {
	return slices.Contains([]string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}, object.GetKind())
}

// apply makes the API server have the objects, in their order.
func apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		configuration := client.ApplyConfigurationFromUnstructured(object.DeepCopy())
		if err := c.Apply(ctx, configuration, client.FieldOwner("e2e"), client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

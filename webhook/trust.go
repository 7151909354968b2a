package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trust is the webhook configurations that exist, and whom each webhook of them
// lets the API server trust.
type trust struct {
	configurations []*unstructured.Unstructured
	bundles        [][]byte // of every webhook
}

// certificates are those that some webhook trusts.
func (t trust) certificates() []*x509.Certificate {
	var all []*x509.Certificate
	for _, bundle := range t.bundles {
		for _, c := range readCertificates(bundle) {
			if !slices.ContainsFunc(all, c.Equal) {
				all = append(all, c)
			}
		}
	}
	return all
}

// holds reports whether every webhook trusts a certificate.
func (t trust) holds(c *x509.Certificate) bool {
	return !slices.ContainsFunc(t.bundles, func(bundle []byte) bool {
		return !slices.ContainsFunc(readCertificates(bundle), c.Equal)
	})
}

// readTrust reads the configurations. One that was deleted, to switch the webhook
// off, is no error.
func (r *rotation) readTrust(ctx context.Context) (trust, error) {
	var t trust
	for _, kind := range []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} {
		// Not typed: a field that this build does not know has to survive the write.
		configuration := &unstructured.Unstructured{}
		configuration.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind(kind))
		err := r.reader.Get(ctx, client.ObjectKey{Name: r.options.Configuration}, configuration)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return t, fmt.Errorf("reading %s %q: %w", kind, r.options.Configuration, err)
		}
		t.configurations = append(t.configurations, configuration)
		_, err = eachBundle(configuration, func(bundle []byte) []byte {
			t.bundles = append(t.bundles, bundle)
			return bundle
		})
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// writeTrust makes the bundle that of every webhook.
func (r *rotation) writeTrust(ctx context.Context, t trust, bundle []byte) error {
	for _, configuration := range t.configurations {
		changed, err := eachBundle(configuration, func([]byte) []byte { return bundle })
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		if err := r.writer.Update(ctx, configuration); err != nil {
			return fmt.Errorf("writing the caBundle of %s %q: %w", configuration.GetKind(), configuration.GetName(), err)
		}
		r.log.Info("told the API server whom to trust", "configuration", configuration.GetKind())
	}
	return nil
}

// eachBundle replaces the caBundle of every webhook of a configuration, and says
// whether that has changed anything.
func eachBundle(configuration *unstructured.Unstructured, replace func([]byte) []byte) (bool, error) {
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", configuration.GetKind(), err)
	}
	changed := false
	for i, w := range webhooks {
		webhook, ok := w.(map[string]any)
		if !ok {
			return false, fmt.Errorf("reading webhooks[%d] of %s: got %T, want an object", i, configuration.GetKind(), w)
		}
		text, _, err := unstructured.NestedString(webhook, "clientConfig", "caBundle")
		if err != nil {
			return false, fmt.Errorf("reading webhooks[%d] of %s: %w", i, configuration.GetKind(), err)
		}
		old, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return false, fmt.Errorf("reading webhooks[%d] of %s: %w", i, configuration.GetKind(), err)
		}
		updated := replace(old)
		if bytes.Equal(old, updated) {
			continue
		}
		changed = true
		if err := unstructured.SetNestedField(webhook, base64.StdEncoding.EncodeToString(updated), "clientConfig", "caBundle"); err != nil {
			return false, fmt.Errorf("writing webhooks[%d] of %s: %w", i, configuration.GetKind(), err)
		}
	}
	return changed, unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}

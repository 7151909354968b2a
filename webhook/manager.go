package webhook

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/portcullis-dev/portcullis/policies"
)

// newManager makes the manager of the API connections: caches of namespaces and
// policies, and the metrics and health endpoints.
func newManager(o Options) (manager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: cached(o)},
		Metrics: metricsserver.Options{BindAddress: o.MetricsAddress},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return mgr, nil
}

// newScheme has the kinds that are read and written.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering core types: %w", err)
	}
	if err := admissionregistrationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering webhook configuration types: %w", err)
	}
	if err := policies.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering policy types: %w", err)
	}
	return scheme, nil
}

// cached are the objects that are watched, no more of them than the service account
// may see.
func cached(o Options) map[client.Object]cache.ByObject {
	shared := true
	counting := map[string]cache.Config{}
	for _, namespace := range o.exceptionNamespaces() {
		counting[namespace] = cache.Config{}
	}
	objects := map[client.Object]cache.ByObject{
		&corev1.Namespace{}: {UnsafeDisableDeepCopy: &shared}, // read in each review, never changed
	}
	if len(o.Policies) == 0 { // else the cluster needs no CRDs of ours
		// What is elsewhere is not even seen (CVE-2024-48921).
		objects[&policies.PolicyException{}] = cache.ByObject{Namespaces: counting}
	}
	if s := o.SelfSigned; s != nil {
		// By name, as the service account may.
		objects[&corev1.Secret{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{s.Secret.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", s.Secret.Name),
		}
	}
	if r := o.Registration; r != nil {
		objects[&corev1.ConfigMap{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{r.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", r.Name),
		}
	}
	if o.SelfSigned != nil || o.Registration != nil {
		named := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName)}
		objects[&admissionregistrationv1.ValidatingWebhookConfiguration{}] = named
		objects[&admissionregistrationv1.MutatingWebhookConfiguration{}] = named
	}
	return objects
}

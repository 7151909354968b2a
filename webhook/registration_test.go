package webhook

import (
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// guardedBundle is a guard of one configuration, of which what is seen is who is
// trusted and by whose hand. The rest is TestT25Registration.
type guardedBundle struct {
	*testing.T
	guard  *registrationGuard
	client client.Client
}

func guardBundle(t *testing.T, bundle string, annotations map[string]string) *guardedBundle {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	record := types.NamespacedName{Namespace: "portcullis-system", Name: "portcullis-registration"}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: record.Namespace}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: registrationOwner, UID: "u"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: record.Namespace, Name: record.Name}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName, Annotations: annotations},
			Webhooks: []admissionregistrationv1.ValidatingWebhook{{
				Name: "validate.portcullis.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: []byte(bundle)},
			}},
		},
	).Build()
	g := &guardedBundle{t, &registrationGuard{
		record: record, reader: c, writer: c, recorder: events.NewFakeRecorder(100), metrics: newRegistrationMetrics(prometheus.NewRegistry()),
		log: slog.New(slog.DiscardHandler), now: time.Now, draining: &atomic.Bool{}, changed: make(chan struct{}, 1),
		missing: map[string]time.Time{}, bundles: map[string][]byte{},
	}, c}
	g.step()
	return g
}

func (g *guardedBundle) step() {
	g.Helper()
	if _, err := g.guard.step(g.Context()); err != nil {
		g.Fatal(err)
	}
}

func (g *guardedBundle) get() *admissionregistrationv1.ValidatingWebhookConfiguration {
	g.Helper()
	var live admissionregistrationv1.ValidatingWebhookConfiguration
	if err := g.client.Get(g.Context(), client.ObjectKey{Name: ConfigurationName}, &live); err != nil {
		g.Fatal(err)
	}
	return &live
}

// change has somebody write the configuration, and the guard look at it.
func (g *guardedBundle) change(bundle string, change func(annotations map[string]string)) {
	g.Helper()
	live := g.get()
	live.Webhooks[0].ClientConfig.CABundle = []byte(bundle)
	if live.Annotations == nil {
		live.Annotations = map[string]string{}
	}
	change(live.Annotations)
	if err := g.client.Update(g.Context(), live); err != nil {
		g.Fatal(err)
	}
	g.step()
}

// recreate deletes the configuration, and waits until it is made anew.
func (g *guardedBundle) recreate() {
	g.Helper()
	if err := g.client.Delete(g.Context(), g.get()); err != nil {
		g.Fatal(err)
	}
	g.step()
	later := g.guard.now().Add(registrationGrace)
	g.guard.now = func() time.Time { return later }
	g.step()
}

func (g *guardedBundle) want(bundle string, annotations map[string]string) {
	g.Helper()
	live := g.get()
	if got := string(live.Webhooks[0].ClientConfig.CABundle); got != bundle {
		g.Errorf("got the caBundle %s, want %s", got, bundle)
	}
	if diff := cmp.Diff(annotations, live.Annotations); diff != "" {
		g.Errorf("annotations (-want +got):\n%s", diff)
	}
}

const injectCAFrom = "cert-manager.io/inject-ca-from"

func keep(map[string]string) {}

// TestRegistrationOfCertManager holds that cert-manager goes on keeping the caBundle,
// whatever somebody does to the annotation by which it knows that it does: an
// authority of long ago would have every workload refused.
func TestRegistrationOfCertManager(t *testing.T) {
	annotations := map[string]string{RevisionAnnotation: "r-1-cert-manager", injectCAFrom: "portcullis-system/portcullis"}
	for name, change := range map[string]func(map[string]string){
		"taken away": func(a map[string]string) { delete(a, injectCAFrom) },
		"changed":    func(a map[string]string) { a[injectCAFrom] = "tenant/his" },
		"another":    func(a map[string]string) { a["cert-manager.io/inject-apiserver-ca"] = "true" },
		"all gone":   func(a map[string]string) { clear(a) },
	} {
		t.Run(name, func(t *testing.T) {
			g := guardBundle(t, "first", maps.Clone(annotations))
			g.change("renewed", keep)
			g.want("renewed", annotations)
			g.change("renewed", change)
			g.want("renewed", annotations)
			g.recreate()
			g.want("renewed", annotations)
		})
	}
}

// TestRegistrationChangesHands goes from an installation that keeps the caBundle
// itself to cert-manager and back: what is made anew is as it was at last.
func TestRegistrationChangesHands(t *testing.T) {
	own := map[string]string{RevisionAnnotation: "r-1"}
	injected := map[string]string{RevisionAnnotation: "r-1", injectCAFrom: "portcullis-system/portcullis"}
	g := guardBundle(t, "own", maps.Clone(own))
	g.guard.selfSigned = true
	g.step()
	g.change("cert-manager", func(a map[string]string) { a[injectCAFrom] = injected[injectCAFrom] }) // seen by a replica of before
	g.guard.selfSigned = false
	g.step()
	g.recreate()
	g.want("cert-manager", injected)
	own[RevisionAnnotation] = "r-2"
	g.change("cert-manager", func(a map[string]string) {
		delete(a, injectCAFrom)
		a[RevisionAnnotation] = "r-2"
	})
	g.guard.selfSigned = true
	g.change("own", keep)
	g.recreate()
	g.want("own", own)
}

package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// wantedRegistration is a webhook configuration as it is kept in the ConfigMap.
type wantedRegistration struct {
	// Revision is the value of RevisionAnnotation.
	Revision    string            `json:"revision"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Webhooks are as the API server has them: fields that this build does not know
	// are kept.
	Webhooks []json.RawMessage `json:"webhooks"`
}

// readWanted is nil where nothing has been kept yet.
func readWanted(data string) *wantedRegistration {
	var w wantedRegistration
	if json.Unmarshal([]byte(data), &w) != nil || len(w.Webhooks) == 0 {
		return nil
	}
	return &w
}

// registeredBy is what a configuration of the cluster registers.
func registeredBy(live *unstructured.Unstructured) (*wantedRegistration, error) {
	w := &wantedRegistration{Revision: live.GetAnnotations()[RevisionAnnotation], Labels: live.GetLabels(), Annotations: live.GetAnnotations()}
	list, _, err := unstructured.NestedSlice(live.Object, "webhooks")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", live.GetKind(), err)
	}
	for i, webhook := range list {
		data, err := json.Marshal(webhook)
		if err != nil {
			return nil, fmt.Errorf("reading webhooks[%d] of %s: %w", i, live.GetKind(), err)
		}
		w.Webhooks = append(w.Webhooks, data)
	}
	return w, nil
}

// decode returns the webhooks. Those that mutate have all fields of those that
// validate.
func (w *wantedRegistration) decode() []admissionregistrationv1.MutatingWebhook {
	if w == nil {
		return nil
	}
	list := make([]admissionregistrationv1.MutatingWebhook, len(w.Webhooks))
	for i, data := range w.Webhooks {
		if json.Unmarshal(data, &list[i]) != nil {
			list[i] = admissionregistrationv1.MutatingWebhook{} // of no name, which differs
		}
	}
	return list
}

// injectionPrefix begins the annotations by which cert-manager knows that it keeps
// the caBundle, and what of (https://cert-manager.io/docs/concepts/ca-injector/).
const injectionPrefix = "cert-manager.io/inject-"

// injection are those annotations, nil for none. Without them nobody keeps the
// caBundle any more.
func (w *wantedRegistration) injection() map[string]string {
	if w == nil {
		return nil
	}
	var found map[string]string
	for name, value := range w.Annotations {
		if strings.HasPrefix(name, injectionPrefix) {
			if found == nil {
				found = map[string]string{}
			}
			found[name] = value
		}
	}
	return found
}

// bundle is the first caBundle of a webhook, nil without one.
func (w *wantedRegistration) bundle() []byte {
	for _, webhook := range w.decode() {
		if len(webhook.ClientConfig.CABundle) > 0 {
			return webhook.ClientConfig.CABundle
		}
	}
	return nil
}

// list returns the webhooks for a configuration, with another caBundle if one is
// given.
func (w *wantedRegistration) list(bundle []byte) ([]any, error) {
	list := make([]any, len(w.Webhooks))
	for i, data := range w.Webhooks {
		// Numbers become int64, as in every unstructured object.
		var webhook unstructured.Unstructured
		if err := webhook.UnmarshalJSON(slices.Concat([]byte(`{"apiVersion":"v1","kind":"Webhook","webhook":`), data, []byte("}"))); err != nil {
			return nil, fmt.Errorf("reading webhook %d as it was wanted: %w", i, err)
		}
		fields, ok := webhook.Object["webhook"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("reading webhook %d as it was wanted: got %T, want an object", i, webhook.Object["webhook"])
		}
		if bundle != nil {
			if err := unstructured.SetNestedField(fields, encodeBundle(bundle), "clientConfig", "caBundle"); err != nil {
				return nil, fmt.Errorf("writing the caBundle of webhook %d: %w", i, err)
			}
		}
		list[i] = fields
	}
	return list, nil
}

// registrationFields are the parts of a webhook that are compared, by the names of
// its fields. What is in none of them is "other".
var registrationFields = []struct {
	name string
	// of returns the part, and takes it out of its webhook.
	of func(*admissionregistrationv1.MutatingWebhook) any
}{
	{"clientConfig", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.ClientConfig = admissionregistrationv1.WebhookClientConfig{} }()
		return w.ClientConfig
	}},
	{"rules", func(w *admissionregistrationv1.MutatingWebhook) any { defer func() { w.Rules = nil }(); return w.Rules }},
	{"failurePolicy", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.FailurePolicy = nil }()
		return w.FailurePolicy
	}},
	{"matchPolicy", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.MatchPolicy = nil }()
		return w.MatchPolicy
	}},
	{"namespaceSelector", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.NamespaceSelector = nil }()
		return w.NamespaceSelector
	}},
	{"objectSelector", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.ObjectSelector = nil }()
		return w.ObjectSelector
	}},
	{"matchConditions", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.MatchConditions = nil }()
		return w.MatchConditions
	}},
	{"timeoutSeconds", func(w *admissionregistrationv1.MutatingWebhook) any {
		defer func() { w.TimeoutSeconds = nil }()
		return w.TimeoutSeconds
	}},
	{"other", func(w *admissionregistrationv1.MutatingWebhook) any { return *w }},
}

// changes names what differs from what is wanted, each once: "webhooks" where some
// were added, removed or moved, else fields, and "annotations" where those that have
// cert-manager keep the caBundle differ. Nothing differs from nothing.
func (w *wantedRegistration) changes(wanted *wantedRegistration, anyBundle bool) []string {
	if wanted == nil {
		return nil
	}
	found, want := w.decode(), wanted.decode()
	name := func(a, b admissionregistrationv1.MutatingWebhook) bool { return a.Name == b.Name }
	if !slices.EqualFunc(found, want, name) {
		return []string{registrationWebhooks}
	}
	var changes []string
	if injection := wanted.injection(); injection != nil && !maps.Equal(injection, w.injection()) {
		changes = append(changes, registrationAnnotations)
	}
	for i := range want {
		// Where nobody was trusted when it was noted down, somebody may be by now.
		if anyBundle || len(want[i].ClientConfig.CABundle) == 0 {
			found[i].ClientConfig.CABundle = want[i].ClientConfig.CABundle
		}
		for _, field := range registrationFields {
			if !equality.Semantic.DeepEqual(field.of(&found[i]), field.of(&want[i])) && !slices.Contains(changes, field.name) {
				changes = append(changes, field.name)
			}
		}
	}
	return changes
}

// encodeBundle writes bytes as JSON does.
func encodeBundle(bundle []byte) string {
	text, err := json.Marshal(bundle)
	if err != nil {
		return "" // bytes have no error
	}
	return string(bytes.Trim(text, `"`))
}

// What happens to a registration, which are labels of
// portcullis_registration_changes_total beside the names of registrationFields.
const (
	registrationDeleted     = "deleted"
	registrationWebhooks    = "webhooks"
	registrationAnnotations = "annotations"
	registrationRestored    = "restored"
	registrationAccepted    = "accepted"
)

// registrationMetrics are the figures about the webhook configurations.
type registrationMetrics struct {
	changes *prometheus.CounterVec
	wanted  *prometheus.GaugeVec
	guarded prometheus.Gauge
}

func newRegistrationMetrics(registry prometheus.Registerer) *registrationMetrics {
	m := &registrationMetrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_registration_changes_total",
			Help: "Changes of the webhook configurations that this replica has dealt with, by configuration, what was changed (deleted, webhooks, annotations, or the field of a webhook) and outcome (restored, accepted).",
		}, []string{"configuration", "changed", "outcome"}),
		wanted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "portcullis_registration_wanted",
			Help: "1 while a webhook configuration is as it was wanted, else 0, by configuration.",
		}, []string{"configuration"}),
		guarded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "portcullis_registration_guarded",
			Help: "1 while changes of the webhook configurations are undone, 0 while that is switched off.",
		}),
	}
	registry.MustRegister(m.changes, m.wanted, m.guarded)
	// An alert on an increase does not see a series that begins above 0.
	changed := []string{registrationDeleted, registrationWebhooks, registrationAnnotations}
	for _, field := range registrationFields {
		changed = append(changed, field.name)
	}
	for _, kind := range configurationKinds {
		for _, change := range changed {
			for _, outcome := range []string{registrationRestored, registrationAccepted} {
				m.changes.WithLabelValues(kind, change, outcome)
			}
		}
	}
	return m
}

func (m *registrationMetrics) asWanted(kind string, wanted bool) {
	value := 0.0
	if wanted {
		value = 1
	}
	m.wanted.WithLabelValues(kind).Set(value)
}

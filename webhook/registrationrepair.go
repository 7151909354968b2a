package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/cloudevents"
)

// accept takes over what is registered as what is wanted.
func (g *registrationGuard) accept(ctx context.Context, record *corev1.ConfigMap, live *unstructured.Unstructured, found *wantedRegistration, changes []string) error {
	first := record.Data[live.GetKind()] == ""
	data, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("writing down %s: %w", live.GetKind(), err)
	}
	if record.Data == nil {
		record.Data = map[string]string{}
	}
	record.Data[live.GetKind()] = string(data)
	if err := g.writer.Update(ctx, record, guardField); err != nil {
		return fmt.Errorf("writing ConfigMap %s: %w", g.record, err)
	}
	g.metrics.asWanted(live.GetKind(), true)
	g.bundles[live.GetKind()] = found.bundle()
	if first {
		g.log.Info("noted what is registered, and guard it from now on", "configuration", live.GetKind(), "revision", found.Revision)
		return nil
	}
	g.tell(live, registrationAccepted, changes, fmt.Sprintf("took over revision %q, which changes %s", found.Revision, orNothing(changes)))
	return nil
}

// restore undoes changes of a configuration that is there.
func (g *registrationGuard) restore(ctx context.Context, live *unstructured.Unstructured, wanted *wantedRegistration, changes []string) error {
	webhooks, err := wanted.list(g.bundleFor(live, wanted))
	if err != nil {
		return err
	}
	live.Object["webhooks"] = webhooks
	annotations := live.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	if injection := wanted.injection(); injection != nil {
		maps.DeleteFunc(annotations, func(name, _ string) bool { return strings.HasPrefix(name, injectionPrefix) })
		maps.Copy(annotations, injection)
	}
	if wanted.Revision != "" {
		annotations[RevisionAnnotation] = wanted.Revision
	}
	live.SetAnnotations(annotations)
	if err := g.writer.Update(ctx, live, guardField); err != nil {
		return fmt.Errorf("restoring %s %q: %w", live.GetKind(), live.GetName(), err)
	}
	g.metrics.asWanted(live.GetKind(), true)
	g.tell(live, registrationRestored, changes, fmt.Sprintf("undid a change of %s; who wants it changes the annotation %s with it", strings.Join(changes, ", "), RevisionAnnotation))
	return nil
}

// bundleFor returns whom each webhook trusts from now on: where somebody else keeps
// that, whom the configuration trusts at last.
func (g *registrationGuard) bundleFor(live *unstructured.Unstructured, wanted *wantedRegistration) []byte {
	found, err := registeredBy(live)
	if err != nil || !g.keepsBundle(found, wanted) {
		return nil // as it was wanted
	}
	if len(found.bundle()) > 0 {
		return found.bundle()
	}
	if bundle := g.bundles[live.GetKind()]; len(bundle) > 0 {
		return bundle
	}
	return wanted.bundle()
}

// restoreDeleted makes a configuration anew that has been missing for a while,
// unless the installation goes too.
func (g *registrationGuard) restoreDeleted(ctx context.Context, record *corev1.ConfigMap, wanted *wantedRegistration, live *unstructured.Unstructured) (time.Duration, error) {
	kind := live.GetKind()
	since, known := g.missing[kind]
	if !known {
		since = g.now()
		g.missing[kind] = since
	}
	if left := registrationGrace - g.now().Sub(since); left > 0 {
		return left, nil
	}
	owner, err := g.owner(ctx)
	if owner == nil || err != nil {
		return registrationGrace, err
	}
	live.SetName(ConfigurationName)
	live.SetLabels(wanted.Labels)
	live.SetAnnotations(wanted.Annotations)
	// With the installation the configuration goes, even if that is deleted later.
	live.SetOwnerReferences([]metav1.OwnerReference{*owner})
	if live.Object["webhooks"], err = wanted.list(g.bundleFor(live, wanted)); err != nil {
		return 0, err
	}
	// Of several replicas one does it: applying twice would not fail.
	claim := kind + ".restored"
	if at, err := time.Parse(time.RFC3339Nano, record.Data[claim]); err == nil && g.now().Sub(at).Abs() < registrationGrace/2 {
		return registrationPause, nil // another one is about to
	}
	record.Data[claim] = g.now().UTC().Format(time.RFC3339Nano)
	if err := g.writer.Update(ctx, record, guardField); err != nil {
		return 0, fmt.Errorf("writing ConfigMap %s: %w", g.record, err)
	}
	// Creating by applying, which the API server authorizes by name
	// (k8s.io/apiserver/pkg/endpoints/handlers/patch.go), as it does not a create.
	if err := g.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(live), guardField, client.ForceOwnership); err != nil {
		return 0, fmt.Errorf("restoring %s %q: %w", kind, ConfigurationName, err)
	}
	delete(g.missing, kind)
	g.metrics.asWanted(kind, true)
	g.tell(live, registrationRestored, []string{registrationDeleted}, "made it anew after it was deleted; docs/operations.md says how to switch Portcullis off")
	return 0, nil
}

// owner refers to the ClusterRole that a configuration goes with. It is nil while
// the installation goes.
func (g *registrationGuard) owner(ctx context.Context) (*metav1.OwnerReference, error) {
	var namespace corev1.Namespace
	var role metav1.PartialObjectMetadata
	role.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("ClusterRole"))
	for name, object := range map[string]client.Object{g.record.Namespace: &namespace, registrationOwner: &role} {
		err := g.reader.Get(ctx, client.ObjectKey{Name: name}, object)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("looking whether the installation is there: %w", err)
		case object.GetDeletionTimestamp() != nil:
			return nil, nil
		}
	}
	return &metav1.OwnerReference{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole", Name: role.Name, UID: role.UID}, nil
}

// registrationChange is the data of an event about a webhook configuration.
type registrationChange struct {
	// Outcome is restored or accepted.
	Outcome string   `json:"outcome"`
	Changes []string `json:"changes"`
	Note    string   `json:"note"`
}

// tell counts, logs, makes an Event and tells the sink.
func (g *registrationGuard) tell(configuration *unstructured.Unstructured, outcome string, changes []string, note string) {
	for _, change := range changes {
		g.metrics.changes.WithLabelValues(configuration.GetKind(), change, outcome).Inc()
	}
	g.log.Warn("the registration was changed", "configuration", configuration.GetKind(), "outcome", outcome, "note", note)
	reason := "Registration" + strings.ToUpper(outcome[:1]) + outcome[1:]
	g.recorder.Eventf(configuration, nil, corev1.EventTypeWarning, reason, "Guard", "%s", note)
	g.sink.Send(cloudevents.Event{
		Type: cloudevents.RegistrationChanged, Subject: configuration.GetKind() + "/" + configuration.GetName(),
		Key:  configuration.GetResourceVersion() + " " + g.now().UTC().Format(time.RFC3339Nano),
		Data: registrationChange{Outcome: outcome, Changes: changes, Note: note},
	})
}

func orNothing(changes []string) string {
	if len(changes) == 0 {
		return "nothing"
	}
	return strings.Join(changes, ", ")
}

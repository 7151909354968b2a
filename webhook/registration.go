package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/portcullis-dev/portcullis/cloudevents"
)

const (
	// RevisionAnnotation of a webhook configuration says which registration an admin
	// wants. A change that comes with another value is taken over, one without is
	// undone.
	RevisionAnnotation = "portcullis.dev/registration-revision"
	// GuardAnnotation of the ConfigMap that keeps the registration leaves the webhook
	// configurations alone, if it is GuardOff.
	GuardAnnotation = "portcullis.dev/registration-guard"
	// GuardOff is the one value of GuardAnnotation that means something.
	GuardOff = "off"
	// registrationOwner is the ClusterRole that a configuration goes with that was
	// made anew: it is part of the installation, and in no namespace.
	registrationOwner = "portcullis-registration"
)

const (
	// registrationGrace is how long a deleted configuration may be missing before it
	// is made anew: who uninstalls deletes the rest of the installation meanwhile.
	registrationGrace = 3 * time.Second
	// registrationPause is the least time between two repairs. Who undoes them again
	// and again keeps neither us nor the API server busy.
	registrationPause = 250 * time.Millisecond
	// guardField owns what the guard writes.
	guardField = client.FieldOwner("portcullis")
)

// configurationKinds are those of ConfigurationName.
var configurationKinds = []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}

// registrationGuard keeps the webhook configurations as an admin wants them. No
// webhook and no ValidatingAdmissionPolicy is asked about them, so that whoever may
// write them, a careless script or another operator, would switch us off unseen.
//
// What is wanted is in a ConfigMap of the installation, which is empty at first and
// then has what was registered when a replica first looked. Every replica guards
// and none leads; each write names the version that it is based on.
type registrationGuard struct {
	record   types.NamespacedName
	reader   client.Reader // live
	writer   client.Client
	recorder events.EventRecorder
	// sink takes what was changed. Nil: nobody does.
	sink     *cloudevents.Sink
	metrics  *registrationMetrics
	log      *slog.Logger
	now      func() time.Time
	draining *atomic.Bool
	// selfSigned says that the caBundle is kept by the rotation.
	selfSigned bool

	changed chan struct{} // holds one signal
	// missing is since when a configuration is, by kind.
	missing map[string]time.Time
	// bundles are the last known caBundles, by kind.
	bundles map[string][]byte
}

// addRegistrationGuard makes the manager run the guard.
func (s *server) addRegistrationGuard(ctx context.Context, metrics *registrationMetrics) error {
	g := &registrationGuard{
		record: *s.options.Registration, reader: s.manager.GetAPIReader(), writer: s.manager.GetClient(),
		recorder: s.manager.GetEventRecorder(ConfigurationName), sink: s.options.Alerts, metrics: metrics, log: s.options.Log, now: time.Now,
		draining: &s.draining, selfSigned: s.options.SelfSigned != nil,
		changed: make(chan struct{}, 1), missing: map[string]time.Time{}, bundles: map[string][]byte{},
	}
	return g.watch(ctx, s.manager)
}

func (g *registrationGuard) watch(ctx context.Context, mgr manager.Manager) error {
	for _, watched := range []client.Object{
		&corev1.ConfigMap{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfiguration{},
	} {
		informer, err := mgr.GetCache().GetInformer(ctx, watched, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", watched, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { signal(g.changed) }, UpdateFunc: func(any, any) { signal(g.changed) }, DeleteFunc: func(any) { signal(g.changed) },
		})
		if err != nil {
			return fmt.Errorf("watching %T: %w", watched, err)
		}
	}
	return mgr.Add(g)
}

// NeedLeaderElection makes every replica guard: a leader that is lost is missed for
// longer than a registration may be.
func (g *registrationGuard) NeedLeaderElection() bool { return false }

// Start guards until ctx ends.
func (g *registrationGuard) Start(ctx context.Context) error {
	const usual, longest = 10 * time.Minute, 30 * time.Second
	retry := time.Second
	for {
		wait, err := g.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			retry = time.Second
			if wait == 0 {
				wait = usual
			}
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err): // another replica was faster
			g.log.Debug("guarding the registration: trying again", "err", err)
			wait = registrationPause
		default:
			g.log.Warn("guarding the registration", "err", err)
			wait, retry = retry, min(2*retry, longest)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-g.changed:
			timer.Stop()
			g.pause(ctx)
		}
	}
}

// pause lets changes that come together be seen together.
func (g *registrationGuard) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(registrationPause):
	}
}

// step compares both configurations with what is wanted, and returns when to look
// again if nothing tells of a change; 0 is the usual time.
func (g *registrationGuard) step(ctx context.Context) (time.Duration, error) {
	var record corev1.ConfigMap
	err := g.reader.Get(ctx, g.record, &record)
	if apierrors.IsNotFound(err) || err == nil && record.DeletionTimestamp != nil {
		g.metrics.guarded.Set(0) // it is being uninstalled
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading ConfigMap %s, which is part of the installation: %w", g.record, err)
	}
	off := record.Annotations[GuardAnnotation] == GuardOff
	if err := g.noteSwitch(ctx, &record, off); err != nil {
		return 0, err
	}
	var wait time.Duration
	var errs []error
	for _, kind := range configurationKinds {
		after, err := g.keep(ctx, &record, kind, off)
		if err != nil {
			errs = append(errs, err)
		}
		if after > 0 && (wait == 0 || after < wait) {
			wait = after
		}
	}
	return wait, errors.Join(errs...)
}

// noteSwitch tells once, whatever the number of replicas, that somebody has turned
// the guard off or on.
func (g *registrationGuard) noteSwitch(ctx context.Context, record *corev1.ConfigMap, off bool) error {
	state, reason, note := "on", "RegistrationGuarded", "the webhook configurations are guarded again"
	g.metrics.guarded.Set(1)
	if off {
		state, reason = GuardOff, "RegistrationUnguarded"
		note = fmt.Sprintf("the annotation %s=%s switches the guard off: the webhook configurations can be changed and deleted", GuardAnnotation, GuardOff)
		g.metrics.guarded.Set(0)
	}
	const key = "guard"
	if record.Data[key] == state || record.Data[key] == "" && !off {
		return nil
	}
	if record.Data == nil {
		record.Data = map[string]string{}
	}
	record.Data[key] = state
	if err := g.writer.Update(ctx, record, guardField); err != nil {
		return fmt.Errorf("writing ConfigMap %s: %w", g.record, err)
	}
	g.log.Warn(note, "configmap", g.record.String())
	g.recorder.Eventf(record, nil, corev1.EventTypeWarning, reason, "Guard", note)
	return nil
}

// keep compares one configuration with what is wanted, and makes it so or takes over
// what an admin wants now.
func (g *registrationGuard) keep(ctx context.Context, record *corev1.ConfigMap, kind string, off bool) (time.Duration, error) {
	wanted := readWanted(record.Data[kind])
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind(kind))
	err := g.reader.Get(ctx, client.ObjectKey{Name: ConfigurationName}, live)
	switch {
	case apierrors.IsNotFound(err):
		if wanted == nil {
			return 0, nil // nobody has wanted it yet
		}
		g.metrics.asWanted(kind, false)
		if off || g.draining.Load() {
			delete(g.missing, kind)
			return 0, nil
		}
		return g.restoreDeleted(ctx, record, wanted, live)
	case err != nil:
		return 0, fmt.Errorf("reading %s %q: %w", kind, ConfigurationName, err)
	}
	delete(g.missing, kind)
	found, err := registeredBy(live)
	if err != nil {
		return 0, err
	}
	changes := found.changes(wanted, g.keepsBundle(found, wanted))
	if wanted != nil {
		g.metrics.asWanted(kind, len(changes) == 0)
	}
	if len(changes) == 0 && len(found.Webhooks) > 0 {
		g.bundles[kind] = found.bundle()
	}
	switch {
	case off:
		return 0, nil
	case wanted == nil && len(found.Webhooks) > 0, found.Revision != "" && wanted != nil && found.Revision != wanted.Revision:
		return 0, g.accept(ctx, record, live, found, changes)
	case len(changes) > 0:
		return registrationPause, g.restore(ctx, live, wanted, changes)
	case found.injection() != nil && wanted != nil && wanted.injection() == nil:
		// cert-manager keeps the caBundle from now on. One that is made anew has to say so.
		return 0, g.accept(ctx, record, live, found, []string{registrationAnnotations})
	}
	return 0, nil
}

// keepsBundle reports whether somebody else writes the caBundle, or will once it is
// as it was wanted.
func (g *registrationGuard) keepsBundle(found, wanted *wantedRegistration) bool {
	return g.selfSigned || found.injection() != nil || wanted.injection() != nil
}

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

package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		recorder: s.manager.GetEventRecorder(eventSource), sink: s.options.Alerts, metrics: metrics, log: s.options.Log, now: time.Now,
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

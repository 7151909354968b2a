package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// SelfSigned says how the webhook makes its own certificate authority and
// certificate, and renews both when a third of their life is left.
type SelfSigned struct {
	// Secret holds them. It must exist and may be empty.
	Secret types.NamespacedName
	// DNSNames are the names that the certificate is for, at least one.
	DNSNames []string
	// Configuration is the name of the validating and of the mutating webhook
	// configuration, which get the authority as their caBundle.
	Configuration string
	// Lifetime is that of a certificate; an authority lives four times as long.
	// Required.
	Lifetime time.Duration
}

// settle is how long a new authority is trusted before anything that it has
// signed is served: an API server may learn of it a moment after another.
func (s *SelfSigned) settle() time.Duration { return min(30*time.Second, s.Lifetime/10) }

const (
	// rotationCheck is how often everything is looked at, even if nothing tells
	// of a change.
	rotationCheck = time.Hour
	// maxRotationRetry bounds the wait after steps that have failed.
	maxRotationRetry = 30 * time.Second
)

// rotation makes the certificate authority and the certificate of a self-signed
// installation, and has the API server trust them before they are served: a
// replica that serves what is not trusted yet, or no longer, answers nobody.
//
// Every replica runs it and none leads. Each write names the version that it is
// based on, so that of two that have the same idea one succeeds, and the other
// finds nothing left to do. Configurations are read before the Secret: a bundle
// that is based on an old Secret is then older than the configuration, and is
// refused.
type rotation struct {
	options *SelfSigned
	reader  client.Reader // live
	writer  client.Writer
	served  *certificate
	now     func() time.Time
	log     *slog.Logger

	changed chan struct{} // holds one signal
	// settled is since when the newest authority is known to be trusted.
	settled   time.Time
	settledBy *x509.Certificate
	// problem is why there is nothing to serve, or nobody trusts it. Nil at last,
	// for good: then it is not this replica that is wrong.
	problem atomic.Pointer[error]
}

// addSelfSigned makes the manager run the rotation.
func addSelfSigned(ctx context.Context, mgr manager.Manager, r *rotation) error {
	r.reader, r.writer, r.now, r.changed = mgr.GetAPIReader(), mgr.GetClient(), time.Now, make(chan struct{}, 1)
	r.fail(errors.New("there is none yet"))
	for _, watched := range []client.Object{
		&corev1.Secret{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfiguration{},
	} {
		informer, err := mgr.GetCache().GetInformer(ctx, watched, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", watched, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { r.signal() }, UpdateFunc: func(any, any) { r.signal() }, DeleteFunc: func(any) { r.signal() },
		})
		if err != nil {
			return fmt.Errorf("watching %T: %w", watched, err)
		}
	}
	return mgr.Add(r)
}

func (r *rotation) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// NeedLeaderElection makes every replica run it: each has to learn what it serves.
func (r *rotation) NeedLeaderElection() bool { return false }

// Start rotates until ctx ends.
func (r *rotation) Start(ctx context.Context) error {
	retry := time.Second
	for {
		wait, err := r.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			retry = time.Second
		case apierrors.IsConflict(err): // another replica was faster
			r.log.Debug("rotating certificates: trying again", "err", err)
			wait = 50 * time.Millisecond
		default:
			r.fail(err)
			r.log.Warn("rotating certificates", "err", err)
			wait, retry = retry, min(2*retry, maxRotationRetry)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.changed:
			timer.Stop()
		}
	}
}

// fail notes a problem, unless the replica has been fine before.
func (r *rotation) fail(err error) {
	if old := r.problem.Load(); old == nil || *old != nil {
		r.problem.Store(&err)
	}
}

// ready returns why the replica cannot answer, or nil.
func (r *rotation) ready() error { return *r.problem.Load() }

// step does what is to be done now, and returns when to look again.
func (r *rotation) step(ctx context.Context) (time.Duration, error) {
	trust, err := r.readTrust(ctx)
	if err != nil {
		return 0, err
	}
	var secret corev1.Secret
	if err := r.reader.Get(ctx, r.options.Secret, &secret); err != nil {
		return 0, fmt.Errorf("reading secret %s, which is part of the installation: %w", r.options.Secret, err)
	}
	keys := readKeyring(secret.Data)
	made, err := r.advance(&keys, trust)
	if err != nil {
		return 0, err
	}
	if len(made) > 0 {
		if secret.Data, err = keys.data(); err != nil {
			return 0, err
		}
		if err := r.writer.Update(ctx, &secret); err != nil {
			return 0, fmt.Errorf("writing secret %s: %w", r.options.Secret, err)
		}
		r.log.Info("rotated certificates", "made", made, "secret", r.options.Secret.String())
	}
	if keys.serving != nil {
		r.served.set(keys.serving)
	}
	if err := r.writeTrust(ctx, trust, keys.bundle()); err != nil {
		return 0, err
	}
	if keys.serving != nil {
		var fine error
		r.problem.Store(&fine)
	}
	return r.next(keys), nil
}

// advance makes what the keyring lacks, as far as its time has come, and says
// what it has made.
func (r *rotation) advance(k *keyring, t trust) (made []string, err error) {
	now := r.now()
	if k.needsAuthority(r.options.Lifetime, now) {
		if err := k.addAuthority(r.options.Lifetime, t.certificates(), now); err != nil {
			return nil, err
		}
		made = append(made, "authority")
	}
	newest := k.authorities[0]
	switch {
	case !t.holds(newest):
		r.settledBy = nil
	case r.settledBy == nil || !r.settledBy.Equal(newest):
		r.settledBy, r.settled = newest, now
	}
	if !k.needsCertificate(r.options, now) {
		return made, nil
	}
	// Where nobody is trusted nobody is answered, and there is nothing to wait for.
	if len(t.certificates()) > 0 && (r.settledBy == nil || now.Sub(r.settled) < r.options.settle()) {
		return made, nil
	}
	if err := k.addCertificate(r.options, now); err != nil {
		return nil, err
	}
	return append(made, "certificate"), nil
}

// next is how long nothing is to be done.
func (r *rotation) next(k keyring) time.Duration {
	now := r.now()
	if k.needsCertificate(r.options, now) {
		return max(r.options.settle()/4, 10*time.Millisecond)
	}
	wait := min(renewal(k.serving.Leaf, r.options.Lifetime).Sub(now), renewal(k.authorities[0], authorityLifetimes*r.options.Lifetime).Sub(now))
	return min(max(wait, 10*time.Millisecond), rotationCheck)
}

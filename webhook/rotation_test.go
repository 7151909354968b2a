package webhook

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// rotationCluster has an empty Secret and both webhook configurations, whose
// webhooks trust what bundle says.
type rotationCluster struct {
	client.Client
	t   *testing.T
	now time.Time
}

func newRotationCluster(t *testing.T, bundle []byte) *rotationCluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	called := admissionregistrationv1.WebhookClientConfig{CABundle: bundle}
	meta := metav1.ObjectMeta{Name: ConfigurationName}
	return &rotationCluster{t: t, now: time.Now(), Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "certificate"}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{
			{Name: "a.example", ClientConfig: called}, {Name: "b.example", ClientConfig: called},
		}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{
			{Name: "c.example", ClientConfig: called},
		}},
	).Build()}
}

// replica is a rotation on the cluster.
func (c *rotationCluster) replica() *rotation {
	r := &rotation{
		options: &SelfSigned{
			Secret: types.NamespacedName{Namespace: "system", Name: "certificate"}, DNSNames: []string{"portcullis.system.svc"},
			Configuration: ConfigurationName, Lifetime: time.Hour,
		},
		reader: c, writer: c, served: &certificate{}, now: func() time.Time { return c.now },
		log: slog.New(slog.DiscardHandler), changed: make(chan struct{}, 1),
	}
	r.fail(fmt.Errorf("none yet"))
	return r
}

func (c *rotationCluster) step(r *rotation) {
	c.t.Helper()
	if _, err := r.step(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// bundle is the one caBundle of all webhooks.
func (c *rotationCluster) bundle() []*x509.Certificate {
	c.t.Helper()
	t, err := c.replica().readTrust(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, bundle := range t.bundles {
		if string(bundle) != string(t.bundles[0]) {
			c.t.Error("the webhooks trust different authorities")
		}
	}
	return readCertificates(t.bundles[0])
}

// leaf is what a replica serves, which is trusted.
func (c *rotationCluster) leaf(r *rotation) *x509.Certificate {
	c.t.Helper()
	pair, err := r.served.get(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, authority := range c.bundle() {
		roots.AddCert(authority)
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: "portcullis.system.svc", Roots: roots, CurrentTime: c.now})
	if err != nil {
		c.t.Errorf("what is served is not trusted: %v", err)
	}
	return pair.Leaf
}

// TestRotationFirstStart holds that nothing is waited for where nobody is trusted,
// and that the second replica takes what the first has made.
func TestRotationFirstStart(t *testing.T) {
	c := newRotationCluster(t, nil)
	first, second := c.replica(), c.replica()
	if first.ready() == nil {
		t.Error("ready before there is a certificate")
	}
	c.step(first)
	c.step(second)
	if err := second.ready(); err != nil {
		t.Errorf("not ready afterwards: %v", err)
	}
	if !c.leaf(first).Equal(c.leaf(second)) {
		t.Error("the replicas serve different certificates")
	}
	if got := len(c.bundle()); got != 1 {
		t.Errorf("got %d authorities, want 1", got)
	}
}

// TestRotationInTime goes through a year of rotations, a minute at a time, and
// requires of each minute that what is served is trusted.
func TestRotationInTime(t *testing.T) {
	c := newRotationCluster(t, nil)
	r := c.replica()
	certificates, authorities := map[string]bool{}, map[string]bool{}
	for range 24 * 60 {
		c.step(r)
		certificates[c.leaf(r).SerialNumber.String()] = true
		authorities[c.bundle()[0].SerialNumber.String()] = true
		c.now = c.now.Add(time.Minute)
	}
	// A certificate lasts 40 of its 60 minutes, an authority 160 of its 240.
	if len(certificates) < 36 || len(certificates) > 50 || len(authorities) != 9 {
		t.Errorf("got %d certificates and %d authorities, want about 36 + 9 and 9", len(certificates), len(authorities))
	}
	if got := len(c.bundle()); got > 3 {
		t.Errorf("got %d authorities in the bundle, want those that expired to be gone", got)
	}
}

// TestRotationAfterTrust holds that what others are trusted for stays trusted, as
// when cert-manager has issued until now, and that a new certificate waits until
// its authority has been trusted for a while.
func TestRotationAfterTrust(t *testing.T) {
	foreign := keyring{}
	if err := foreign.addAuthority(time.Hour, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	c := newRotationCluster(t, foreign.bundle())
	r := c.replica()
	for range 3 {
		c.step(r)
		if _, err := r.served.get(nil); err == nil {
			t.Fatal("got a certificate at once, want none before its authority is trusted everywhere")
		}
	}
	if got := c.bundle(); len(got) != 2 || !got[1].Equal(foreign.authorities[0]) {
		t.Fatalf("got %d authorities, want the new one and the one before", len(got))
	}
	if r.ready() == nil {
		t.Error("ready without a certificate")
	}
	c.now = c.now.Add(r.options.settle())
	c.step(r)
	c.leaf(r)
	if err := r.ready(); err != nil {
		t.Error(err)
	}
}

// TestF08Rotation starts many replicas at once: one authority comes of it.
func TestF08Rotation(t *testing.T) {
	c := newRotationCluster(t, nil)
	var running sync.WaitGroup
	replicas := make([]*rotation, 8)
	for i := range replicas {
		replicas[i] = c.replica()
		running.Go(func() {
			for {
				_, err := replicas[i].step(t.Context())
				switch {
				case err == nil:
					return
				case !apierrors.IsConflict(err):
					t.Errorf("replica %d: %v", i, err)
					return
				}
			}
		})
	}
	running.Wait()
	for i, r := range replicas {
		if !c.leaf(r).Equal(c.leaf(replicas[0])) {
			t.Errorf("replica %d serves another certificate than the first", i)
		}
	}
	if got := len(c.bundle()); got != 1 {
		t.Errorf("got %d authorities, want 1", got)
	}
}

// pausing does something before the Secret is read.
type pausing struct {
	client.Reader
	pause func()
}

func (p pausing) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := p.Reader.Get(ctx, key, object, options...)
	if _, ok := object.(*corev1.Secret); ok && p.pause != nil {
		p.pause()
	}
	return err
}

// TestF08PausedReplica lets a replica stand still, once it has read everything,
// while another rotates the authority: what it then writes is refused.
func TestF08PausedReplica(t *testing.T) {
	c := newRotationCluster(t, nil)
	other, paused := c.replica(), c.replica()
	c.step(other)
	c.step(paused)
	old := c.bundle()[0]
	paused.reader = pausing{c, func() {
		c.now = c.now.Add(200 * time.Minute)
		c.step(other) // the authority
		c.step(other) // which is trusted now
		c.now = c.now.Add(other.options.settle())
		c.step(other) // and what it signs
	}}
	// It is late in the day: there is something to write for the paused one too.
	if _, err := paused.step(t.Context()); !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
	if got := c.bundle(); got[0].Equal(old) {
		t.Error("the paused replica has put the old authority back")
	}
	c.leaf(other)
	paused.reader = c
	c.step(paused)
	if !c.leaf(paused).Equal(c.leaf(other)) {
		t.Error("the paused replica does not serve what the other does")
	}
}

// TestF08PausedReader lets a replica stand still, once it has read everything, while
// somebody empties the Secret and another replica fills it: the paused one has
// nothing to write to the Secret, and must not write the bundle that was in it.
func TestF08PausedReader(t *testing.T) {
	c := newRotationCluster(t, nil)
	other, paused := c.replica(), c.replica()
	c.step(other)
	old := c.bundle()[0]
	paused.reader = pausing{c, func() {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "certificate"}}
		if err := c.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		c.step(other)
	}}
	_, _ = paused.step(t.Context())
	if got := c.bundle(); got[0].Equal(old) {
		t.Error("the paused replica has put the old bundle back")
	}
}

// unwritable refuses to write webhook configurations.
type unwritable struct{ client.Writer }

func (u unwritable) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	if _, ok := object.(*corev1.Secret); !ok {
		return errors.New("forbidden")
	}
	return u.Writer.Update(ctx, object, options...)
}

// TestRotationUntrusted holds that what a new authority signs is not served while
// nobody could be told to trust it.
func TestRotationUntrusted(t *testing.T) {
	c := newRotationCluster(t, nil)
	r := c.replica()
	c.step(r)
	for authority := c.bundle()[0]; c.now.Before(renewal(authority, authorityLifetimes*r.options.Lifetime)); c.now = c.now.Add(time.Minute) {
		c.step(r)
	}
	served := c.leaf(r)
	r.writer = unwritable{c}
	for range 10 {
		c.now = c.now.Add(time.Minute)
		if _, err := r.step(t.Context()); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Fatalf("got %v, want the error of the write", err)
		}
		if got := c.leaf(r); !got.Equal(served) {
			t.Fatal("got another certificate, want the one that is trusted")
		}
	}
	r.writer = c
	c.step(r)
	c.step(r)
	c.now = c.now.Add(r.options.settle())
	c.step(r)
	if got := c.leaf(r); got.Equal(served) {
		t.Error("got the old certificate for ever, want a new one once it is trusted")
	}
}

// TestRotationFromOthers takes over a Secret and a trust that another program has
// made, with keys of other kinds: what it signed is served until a new authority is
// trusted.
func TestRotationFromOthers(t *testing.T) {
	for name, makeKey := range map[string]func() (crypto.Signer, error){
		"RSA":     func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"Ed25519": func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err },
	} {
		t.Run(name, func(t *testing.T) {
			data := foreignSecret(t, makeKey, "portcullis.system.svc")
			c := newRotationCluster(t, data[authoritiesName])
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "certificate"}, Data: data}
			if err := c.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			r := c.replica()
			c.step(r)
			first := c.leaf(r)
			if got := string(encodeCertificates(first)); got != string(data[certName]) {
				t.Error("got another certificate at once, want the one that is trusted")
			}
			c.step(r)
			c.now = c.now.Add(r.options.settle())
			c.step(r)
			if c.leaf(r).Equal(first) {
				t.Error("got the certificate of the other program for ever, want our own")
			}
		})
	}
}

// TestRotationDisturbed takes away what the rotation relies on.
func TestRotationDisturbed(t *testing.T) {
	c := newRotationCluster(t, nil)
	r := c.replica()
	c.step(r)
	before := c.bundle()

	trust, err := r.readTrust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.writeTrust(t.Context(), trust, nil); err != nil {
		t.Fatal(err)
	}
	c.step(r)
	if got := c.bundle(); len(got) != 1 || !got[0].Equal(before[0]) {
		t.Errorf("after the caBundle was taken away: got %d authorities, want the one before", len(got))
	}

	for _, configuration := range trust.configurations {
		if err := c.Delete(t.Context(), configuration); err != nil {
			t.Fatal(err)
		}
	}
	c.step(r) // the way to switch the webhook off

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "certificate"}}
	if err := c.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	_, err = r.step(t.Context())
	if err == nil || !strings.Contains(err.Error(), "reading secret system/certificate, which is part of the installation") {
		t.Errorf("without the Secret: got %v, want an error that names it", err)
	}
	if r.fail(err); r.ready() != nil {
		t.Error("a replica that serves is not ready any more because the Secret is gone")
	}
	if fresh := c.replica(); fresh.ready() == nil {
		t.Error("a replica without a certificate is ready")
	}
}

// TestRotationForgets holds that an authority can be forgotten by taking it out of
// the Secret.
func TestRotationForgets(t *testing.T) {
	c := newRotationCluster(t, nil)
	r := c.replica()
	c.step(r)
	c.now = c.now.Add(200 * time.Minute)
	c.step(r)
	c.step(r)
	c.now = c.now.Add(r.options.settle())
	c.step(r)
	both := c.bundle()
	if len(both) != 2 {
		t.Fatalf("got %d authorities, want two", len(both))
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), r.options.Secret, &secret); err != nil {
		t.Fatal(err)
	}
	secret.Data[authoritiesName] = encodeCertificates(both[0])
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	c.step(r)
	if got := c.bundle(); len(got) != 1 || !got[0].Equal(both[0]) {
		t.Errorf("got %d authorities, want the newest alone", len(got))
	}
	c.leaf(r)
}

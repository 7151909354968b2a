package serving_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// rotationLag is how late the slowest API server learns whom to trust. It is less
// than a tenth of the lifetime, for which a new authority has to wait.
const (
	rotationLifetime = 8 * time.Second
	rotationLag      = 300 * time.Millisecond
)

// TestF06Rotation lets two replicas renew their certificate and their authority,
// and then takes the authority away, as after a leak. All the time an API server
// creates pods, and clients that learn of each new caBundle at once or late shake
// hands with both replicas: none fails.
func TestF06Rotation(t *testing.T) {
	c := cluster.Cluster(t)
	emptySecret(t, c)
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
		emptySecret(t, c) // other tests want one that lasts
	})
	var servers []*harness.Server
	for range 2 {
		s, err := c.StartServer(harness.ServeOptions{SelfSigned: true, Args: []string{"--certificate-lifetime=" + rotationLifetime.String()}})
		if err != nil {
			t.Fatal(err)
		}
		suite.StopAfter(t, s)
		servers = append(servers, s)
	}
	if err := c.Register(t.Context(), servers[0].Endpoint); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	namespace := c.Namespace(t, nil)
	load := &rotationLoad{t: t, cluster: c, servers: servers, namespace: namespace, seen: map[string]bool{}}
	end := load.start()
	first := load.authority()
	for _, step := range []string{"when its time has come", "after the Secret was emptied"} {
		before := load.authority()
		if step == "after the Secret was emptied" {
			emptySecret(t, c)
		}
		suite.Eventually(t, 6*rotationLifetime, func() error {
			if now := load.authority(); now.Equal(before) {
				return fmt.Errorf("%s: the authority is the same", step)
			}
			for _, s := range servers {
				if err := handshake(s, encode(load.authority())); err != nil {
					return fmt.Errorf("%s: a replica serves what the newest authority has not signed: %w", step, err)
				}
			}
			return nil
		})
	}
	end()
	if load.authority().Equal(first) {
		t.Error("the authority was not replaced: the test proves nothing")
	}
	t.Logf("%d pods, %d handshakes, %d certificates", load.pods, load.handshakes, len(load.seen))
	if load.pods < 100 || load.handshakes < 500 || len(load.seen) < 4 {
		t.Errorf("got %d pods, %d handshakes, %d certificates, want at least 100, 500, 4: the test proves nothing", load.pods, load.handshakes, len(load.seen))
	}
	for _, s := range servers {
		if strings.Contains(s.Log(), "level=WARN") || strings.Contains(s.Log(), "level=ERROR") {
			t.Errorf("got warnings in the log of a replica, want none:\n%s", s.Log())
		}
	}
}

// emptySecret takes away what the self-signed certificate is made of.
func emptySecret(t *testing.T, c *suite.Cluster) {
	t.Helper()
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = harness.SystemNamespace, "portcullis-certificate"
	if err := c.Client.Patch(context.Background(), secret, client.RawPatch("application/merge-patch+json", []byte(`{"data": null}`))); err != nil {
		t.Fatalf("emptying the secret: %v", err)
	}
}

// rotationLoad creates pods and shakes hands.
type rotationLoad struct {
	t         *testing.T
	cluster   *suite.Cluster
	servers   []*harness.Server
	namespace string

	mu               sync.Mutex
	failures         int
	pods, handshakes int
	seen             map[string]bool // serial numbers
}

// start begins, and returns what ends it.
func (l *rotationLoad) start() (end func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			pod := suite.Pod.New(l.namespace, "rotation", suite.GoodSpec())
			l.count(&l.pods, l.cluster.Client.Create(l.t.Context(), pod, client.DryRunAll))
		}
	})
	for _, lag := range []time.Duration{0, rotationLag} {
		running.Go(func() { l.shake(ctx, lag) })
	}
	return func() { cancel(); running.Wait() }
}

// shake greets every replica, with what every webhook trusted a lag ago.
func (l *rotationLoad) shake(ctx context.Context, lag time.Duration) {
	for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		read := time.Now()
		bundles := l.bundles()
		time.Sleep(lag)
		for _, bundle := range bundles {
			for _, s := range l.servers {
				err := handshake(s, bundle)
				if time.Since(read) > rotationLifetime/10 {
					break // on a busy machine: older than what a new authority waits for
				}
				l.count(&l.handshakes, err)
			}
		}
		for _, s := range l.servers {
			if serial, err := served(s); err == nil {
				l.mu.Lock()
				l.seen[serial] = true
				l.mu.Unlock()
			}
		}
	}
}

func (l *rotationLoad) count(counter *int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*counter++
	if err == nil {
		return
	}
	if l.failures++; l.failures <= 5 {
		l.t.Errorf("during the rotation: %v", err)
	}
}

// bundles are the caBundles of all webhooks, as they are now.
func (l *rotationLoad) bundles() [][]byte {
	var all [][]byte
	for _, shipped := range l.cluster.Configurations {
		configuration := &unstructured.Unstructured{}
		configuration.SetGroupVersionKind(shipped.GroupVersionKind())
		if err := l.cluster.Client.Get(l.t.Context(), client.ObjectKeyFromObject(shipped), configuration); err != nil {
			l.t.Errorf("reading %s: %v", shipped.GetKind(), err)
			return nil
		}
		webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
		for _, webhook := range webhooks {
			bundle, _, _ := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "caBundle")
			decoded, err := base64.StdEncoding.DecodeString(bundle)
			if err != nil {
				l.t.Errorf("reading a caBundle: %v", err)
			}
			all = append(all, decoded)
		}
	}
	return all
}

// authority is the newest that is trusted.
func (l *rotationLoad) authority() *x509.Certificate {
	block, _ := pem.Decode(l.bundles()[0])
	if block == nil {
		l.t.Fatal("got no certificate in the caBundle")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		l.t.Fatal(err)
	}
	return certificate
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// handshake trusts a bundle and no other.
func handshake(s *harness.Server, bundle []byte) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err := dial(s, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	return err
}

func served(s *harness.Server) (string, error) {
	state, err := dial(s, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return "", err
	}
	return state.PeerCertificates[0].SerialNumber.String(), nil
}

func dial(s *harness.Server, config *tls.Config) (tls.ConnectionState, error) {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer connection.Close()
	return connection.ConnectionState(), nil
}

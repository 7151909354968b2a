package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// Names of the files in Options.CertDir and of the keys in the Secret.
const (
	certName = "tls.crt"
	keyName  = "tls.key"
)

// certificate is the one that is served, and changes while it is. The private key
// of a self-signed one is in memory only.
type certificate struct {
	source atomic.Pointer[func(*tls.ClientHelloInfo) (*tls.Certificate, error)]
}

// set replaces it.
func (c *certificate) set(pair *tls.Certificate) {
	c.follow(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil })
}

// follow takes it from a source from now on.
func (c *certificate) follow(source func(*tls.ClientHelloInfo) (*tls.Certificate, error)) {
	c.source.Store(&source)
}

// get is for tls.Config.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if source := c.source.Load(); source != nil {
		return (*source)(hello)
	}
	return nil, errors.New("there is no certificate yet")
}

// register adds the metrics of its end, and of how long it is valid in all: by both
// one alert does for certificates of any lifetime.
func (c *certificate) register(registry prometheus.Registerer) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "portcullis_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that is served expires, in seconds since 1970; 0 while there is none.",
	}, func() float64 {
		if leaf := c.leaf(); leaf != nil {
			return float64(leaf.NotAfter.Unix())
		}
		return 0
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "portcullis_certificate_lifetime_seconds",
		Help: "How long the certificate that is served is valid, from its first moment to its last; 0 while there is none.",
	}, func() float64 {
		if leaf := c.leaf(); leaf != nil {
			return leaf.NotAfter.Sub(leaf.NotBefore).Seconds()
		}
		return 0
	}))
}

// leaf is the certificate itself, nil while there is none.
func (c *certificate) leaf() *x509.Certificate {
	pair, err := c.get(nil)
	if err != nil || pair == nil {
		return nil
	}
	return pair.Leaf
}

// certificateFiles keeps the certificate equal to the files of a folder, which
// somebody else writes.
type certificateFiles struct {
	dir    string
	served *certificate
	log    *slog.Logger
}

// watch waits for the files and follows them until ctx ends.
func (f *certificateFiles) watch(ctx context.Context) {
	for waited := 0; ctx.Err() == nil; waited++ {
		watcher, err := certwatcher.New(filepath.Join(f.dir, certName), filepath.Join(f.dir, keyName))
		if err == nil {
			f.served.follow(watcher.GetCertificate)
			err = watcher.Start(ctx)
		}
		if err != nil && waited%300 == 10 { // after a second, then every half minute
			f.log.Warn("waiting for the certificate; mount tls.crt and tls.key at --cert-dir, or use --self-signed", "cert-dir", f.dir, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

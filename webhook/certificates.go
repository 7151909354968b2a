package webhook

import (
	"context"
	"crypto/tls"
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

// register adds the metric of its end.
func (c *certificate) register(registry prometheus.Registerer) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "portcullis_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that is served expires, in seconds since 1970; 0 while there is none.",
	}, func() float64 {
		pair, err := c.get(nil)
		if err != nil || pair == nil || pair.Leaf == nil {
			return 0
		}
		return float64(pair.Leaf.NotAfter.Unix())
	}))
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

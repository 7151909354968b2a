package webhook

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Names of the files in Options.CertDir and of the keys in the Secret.
const (
	certName = "tls.crt"
	keyName  = "tls.key"
)

// SelfSigned says how the webhook makes its own certificate authority and
// certificate, which rotate before they expire.
type SelfSigned struct {
	// Secret holds them. It must exist and may be empty.
	Secret types.NamespacedName
	// DNSNames are the names that the certificate is for, at least one.
	DNSNames []string
	// Validating and Mutating are the names of the webhook configurations that
	// get the authority as their caBundle.
	Validating, Mutating string
}

// addSelfSigned makes the manager keep the Secret and the webhook configurations
// up to date, and certDir equal to the Secret. A kubelet does the latter too, but
// may take two minutes for it, while nothing can be admitted. The channel closes
// once the API server has been told whom to trust.
func addSelfSigned(ctx context.Context, mgr manager.Manager, s *SelfSigned, certDir string) (<-chan struct{}, error) {
	trusted := make(chan struct{})
	err := rotator.AddRotator(mgr, &rotator.CertRotator{
		SecretKey:      s.Secret,
		CertDir:        certDir,
		CAName:         "portcullis-ca",
		CAOrganization: "portcullis",
		DNSName:        s.DNSNames[0],
		ExtraDNSNames:  s.DNSNames[1:],
		IsReady:        trusted,
		Webhooks: []rotator.WebhookInfo{
			{Name: s.Validating, Type: rotator.Validating},
			{Name: s.Mutating, Type: rotator.Mutating},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("setting up certificate rotation: %w", err)
	}
	informer, err := mgr.GetCache().GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching secret %s: %w", s.Secret, err)
	}
	write := func(object any) {
		secret, ok := object.(*corev1.Secret)
		if !ok || secret.Name != s.Secret.Name || len(secret.Data[certName]) == 0 {
			return
		}
		if err := writeCertificate(certDir, secret.Data); err != nil {
			mgr.GetLogger().Error(err, "storing the certificate", "secret", s.Secret.String())
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    write,
		UpdateFunc: func(_, updated any) { write(updated) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching secret %s: %w", s.Secret, err)
	}
	return trusted, nil
}

// writeCertificate replaces key and certificate, the key first: what reads the
// pair is told by the certificate's change, and takes no pair that does not match.
func writeCertificate(dir string, data map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the certificate folder: %w", err)
	}
	for _, name := range []string{keyName, certName} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", data[name], 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("replacing %s: %w", name, err)
		}
	}
	return nil
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

// writeCertificate makes the one certificate of all servers, and the settings of
// a client that trusts it.
func writeCertificate(dir string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	pool := x509.NewCertPool()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	pool.AppendCertsFromPEM(certPEM)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, errors.Join(
		os.WriteFile(filepath.Join(dir, "tls.crt"), certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// startAPIServer starts etcd and kube-apiserver with the namespaces of the
// objects, and writes kubeconfig into dir.
func startAPIServer(ctx context.Context, dir string) (*envtest.Environment, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: set it to the folder that `make controlplane` prints")
	}
	ctrllog.SetLogger(logr.Discard())
	environment := &envtest.Environment{BinaryAssetsDirectory: assets}
	config, err := environment.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting an API server: %w", err), environment.Stop())
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to the API server: %w", err), environment.Stop())
	}
	for _, n := range reviews.Namespaces() {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return nil, errors.Join(fmt.Errorf("creating namespace %q: %w", n, err), environment.Stop())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), environment.KubeConfig, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("writing a kubeconfig: %w", err), environment.Stop())
	}
	return environment, nil
}

// images is a registry on the loopback address that mirrors docker.io.
type images struct {
	server *httptest.Server
	// pinned is what each reference by tag becomes.
	pinned map[string]string
	// asked counts requests, to tell that a cache is warm.
	asked atomic.Int64
}

// startRegistry serves every image of the objects, and writes the RegistryConfig
// registries.yaml into dir. Tags are believed for a day, so that the rounds
// measure a warm cache however long they take.
func startRegistry(dir string) (*images, error) {
	r := &images{pinned: map[string]string{}}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.asked.Add(1)
		handler.ServeHTTP(w, request)
	}))
	host := strings.TrimPrefix(r.server.URL, "http://")
	for _, written := range reviews.Images() {
		if err := r.push(host, written); err != nil {
			r.server.Close()
			return nil, fmt.Errorf("pushing %q: %w", written, err)
		}
	}
	config := fmt.Sprintf(`apiVersion: portcullis.dev/v1alpha1
kind: RegistryConfig
allow: {cidrs: ["127.0.0.0/8"]}
insecure: [%q]
mirrors: [{from: docker.io, to: [%q]}]
tagTTL: 24h
`, host, host+"/docker.io")
	if err := os.WriteFile(filepath.Join(dir, "registries.yaml"), []byte(config), 0o600); err != nil {
		r.server.Close()
		return nil, fmt.Errorf("writing the registry configuration: %w", err)
	}
	return r, nil
}

func (r *images) push(host, written string) error {
	ref, err := name.ParseReference(written)
	if err != nil {
		return err
	}
	mirrored, err := name.NewTag(fmt.Sprintf("%s/docker.io/%s:%s", host, ref.Context().RepositoryStr(), ref.Identifier()))
	if err != nil {
		return err
	}
	image, err := imageWithEvidence()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	r.pinned[written] = written + "@" + digest.String()
	return remote.Write(mirrored, image)
}

// imageWithEvidence is an image that says something to every mutator.
func imageWithEvidence() (v1.Image, error) {
	image, err := random.Image(64, 1)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{
		User: "1000:1000", Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.12.4"},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/bin/healthy"}, Interval: 10 * time.Second, Timeout: 2 * time.Second},
	}
	return mutate.ConfigFile(image, file)
}

package harness

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The images that the registry has from the start, by the names that manifests
// use for them.
const (
	// PythonImage runs as root, as the official one does, on two platforms.
	PythonImage = "python:3.11-slim"
	// FlaskImage runs as user 1000 and has a HEALTHCHECK.
	FlaskImage = "docker.io/example/flask-web:1.4"
	// NginxImage runs as root, on one platform.
	NginxImage = "nginx:1.27"
)

// Registry is an image registry in this process, and a mirror of Docker Hub and of
// registry.k8s.io, whose pause is in upstream's examples.
type Registry struct {
	server  *httptest.Server
	digests map[string]string // by full name and tag

	mu       sync.Mutex
	requests []string // method and path
}

// NewRegistry starts a registry with the images above.
func NewRegistry() (*Registry, error) {
	r := &Registry{digests: map[string]string{}}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, request.Method+" "+request.URL.Path)
		r.mu.Unlock()
		store.ServeHTTP(w, request)
	}))
	health := &v1.HealthConfig{
		Test:     []string{"CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/healthz')"},
		Interval: 10 * time.Second, Timeout: 2 * time.Second, Retries: 3,
	}
	err := firstError(
		func() error { return r.PushIndex(PythonImage, v1.Config{Env: []string{"PYTHON_VERSION=3.11.9"}}) },
		func() error {
			return r.Push(FlaskImage, v1.Config{
				User: "1000", Env: []string{"PYTHON_VERSION=3.11.9"}, Healthcheck: health,
				ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			})
		},
		func() error {
			return r.Push(NginxImage, v1.Config{ExposedPorts: map[string]struct{}{"80/tcp": {}}})
		},
	)
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// reference is where an image lies in this registry: below the name of its own
// registry, if that is another.
func (r *Registry) reference(image string) (name.Reference, error) {
	if strings.HasPrefix(image, r.Host()+"/") {
		return name.ParseReference(image, name.Insecure)
	}
	return name.ParseReference(r.Host()+"/"+fullName(image), name.Insecure)
}

// fullName completes a name as Docker Hub is completed: nginx:1 is
// docker.io/library/nginx:1.
func fullName(image string) string {
	switch host, _, path := strings.Cut(image, "/"); {
	case !path:
		return "docker.io/library/" + image
	case !strings.ContainsAny(host, ".:"):
		return "docker.io/" + image
	}
	return image
}

func (r *Registry) remember(image string, built interface{ Digest() (v1.Hash, error) }) error {
	digest, err := built.Digest()
	if err != nil {
		return fmt.Errorf("hashing image %q: %w", image, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.digests[fullName(image)] = digest.String()
	return nil
}

// Pinned is the image with the digest that its tag stands for.
func (r *Registry) Pinned(image string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return image + "@" + r.digests[fullName(image)]
}

// Requests counts the requests so far whose path contains part.
func (r *Registry) Requests(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	for _, request := range r.requests {
		if strings.Contains(request, part) {
			count++
		}
	}
	return count
}

// Host is the registry's host:port.
func (r *Registry) Host() string { return strings.TrimPrefix(r.server.URL, "http://") }

// Config is a RegistryConfig with which Portcullis asks this registry for the
// images that it mirrors. It remembers what a tag stands for no longer than a second,
// so that a test can move one.
func (r *Registry) Config() string {
	return fmt.Sprintf(`apiVersion: portcullis.dev/v1alpha1
kind: RegistryConfig
allow: {cidrs: [127.0.0.0/8]}
insecure: [%q]
mirrors:
- {from: docker.io, to: [%q]}
- {from: registry.k8s.io, to: [%q]}
tagTTL: 1s
`, r.Host(), r.Host()+"/docker.io", r.Host()+"/registry.k8s.io")
}

// Close stops the registry.
func (r *Registry) Close() { r.server.Close() }

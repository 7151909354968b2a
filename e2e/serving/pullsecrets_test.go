package serving_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestPullSecrets asks a registry that wants a password with the pull secret that
// a pod names. It is read from the request's namespace, and only where
// manifests/pull-secrets says so. T36.
func TestPullSecrets(t *testing.T) {
	c := cluster.Cluster(t)
	guarded := guard(t, c.Registry.Host(), "team", "s3cret")
	if err := c.Registry.Push(c.Registry.Host()+"/private/app:1", harness.Config{User: "1000"}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Serve(t.Context(), harness.ServeOptions{
		Registries: fmt.Sprintf("apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\nallow: {cidrs: [127.0.0.0/8]}\ninsecure: [%q]\n", guarded),
		Args:       []string{"--pull-secrets"},
	})
	if err != nil {
		t.Fatal(err)
	}
	granted, refused := c.Namespace(t, nil), c.Namespace(t, nil)
	for _, namespace := range []string{granted, refused} {
		c.Policy(t, namespace, `{mutate: {digests: {}}}`, s)
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "registry", Namespace: namespace},
			Type:       corev1.SecretTypeDockerConfigJson,
			Data:       map[string][]byte{corev1.DockerConfigJsonKey: dockerConfig(guarded, "team", "s3cret")},
		}
		if err := c.Client.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Render(filepath.Join(root, "manifests", "pull-secrets"))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		object.SetNamespace(granted)
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	review := func(namespace string, secrets ...corev1.LocalObjectReference) *admissionv1.AdmissionResponse {
		spec := suite.GoodSpec()
		spec.Containers[0].Image, spec.ImagePullSecrets = guarded+"/private/app:1", secrets
		object, err := json.Marshal(suite.Pod.New(namespace, "main", spec))
		if err != nil {
			t.Fatal(err)
		}
		return suite.Review(t, s, "/mutate", suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: admissionv1.Create, Object: object})
	}
	named := corev1.LocalObjectReference{Name: "registry"}
	if got := review(granted, named); !got.Allowed || !strings.Contains(string(got.Patch), "/private/app:1@sha256:") {
		t.Errorf("with its pull secret: got allowed %v, %+v, patch %s, want a pin", got.Allowed, got.Result, got.Patch)
	}
	for _, test := range []struct {
		name string
		got  *admissionv1.AdmissionResponse
	}{
		{"without the pull secret", review(granted)},
		{"where Secrets may not be read", review(refused, named)},
	} {
		if test.got.Allowed || !strings.Contains(test.got.Result.Message, "refused access") {
			t.Errorf("%s: got allowed %v, %+v, want a refusal that says so", test.name, test.got.Allowed, test.got.Result)
		}
	}
}

// guard stands before a registry and wants a password. It returns its host.
func guard(t *testing.T, registry, user, password string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func dockerConfig(host, user, password string) []byte {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth)
}

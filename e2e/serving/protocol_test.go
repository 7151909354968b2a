package serving_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// review is a good request that every server allows.
func review(t *testing.T) suite.Request {
	return suite.Request{Kind: suite.Pod, Namespace: "default", Operation: "CREATE", Object: podWith(t, "nginx:1.27@sha256:"+strings.Repeat("0", 64))}
}

func podWith(t *testing.T, image string) []byte {
	t.Helper()
	spec := suite.GoodSpec()
	spec.Containers[0].Image = image
	data, err := json.Marshal(suite.Pod.New("default", "main", spec))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestNotAReview is T60 and T61: what is not a review gets an HTTP error, for
// which the API server applies the failure policy, and the server lives on.
func TestNotAReview(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	good := string(review(t).Marshal(t))
	replaced := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the review has no %s", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	const plain = "application/json"
	cases := []struct {
		name, contentType, body string
		status                  int
		text                    string
	}{
		{"good", plain, good, 200, `"allowed":true`},
		{"content type with a character set", "application/json; charset=utf-8", good, 200, `"allowed":true`},
		{"other content type", "text/yaml", good, 415, `got content type "text/yaml"`},
		{"no content type", "", good, 415, "want application/json"},
		{"no JSON", plain, "kind: AdmissionReview", 400, "decoding the AdmissionReview"},
		{"nothing", plain, "", 400, "decoding the AdmissionReview"},
		{"cut off", plain, good[:len(good)/2], 400, "decoding the AdmissionReview"},
		{"v1beta1", plain, replaced("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), 400, `got apiVersion "admission.k8s.io/v1beta1"`},
		{"other kind", plain, replaced(`"kind":"AdmissionReview"`, `"kind":"ConversionReview"`), 400, `kind "ConversionReview"`},
		{"no request", plain, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`, 400, "has no request"},
		{"request is null", plain, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": null}`, 400, "has no request"},
		{"a key twice", plain, replaced(`"namespace":"default"`, `"namespace":"default","namespace":"kube-system"`), 400, "decoding the AdmissionReview"},
		{"deep", plain, replaced(`"request":{`, `"request":{"x":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`,`), 400, "decoding the AdmissionReview"},
		{"object is no object", plain, replaced(`"object":{`, `"object":7,"ignored":{`), 200, `"allowed":false`},
		{"too large", plain, good + strings.Repeat(" ", 7<<20), 413, "larger than"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			response, err := s.Post(t.Context(), "/validate", test.contentType, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || !strings.Contains(string(body), test.text) {
				t.Errorf("got status %d and %s, want %d and %q", response.StatusCode, body, test.status, test.text)
			}
		})
	}
	if got, err := s.Metric("portcullis_admission_panics_total"); err != nil || got != 0 {
		t.Errorf("got %v panics (%v), want none", got, err)
	}
}

// TestGet is what a browser or a scanner sends.
func TestGet(t *testing.T) {
	t.Parallel()
	s := serve(t, cluster.Cluster(t), harness.ServeOptions{})
	client, err := s.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(s.URL + "/validate")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got, want := response.StatusCode, http.StatusMethodNotAllowed; got != want {
		t.Errorf("got status %d, want %d", got, want)
	}
}

// TestLargeReview holds the other side of the bound: an update of an object near
// etcd's limit comes with the old object, and is a review like any other.
func TestLargeReview(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	large := func(letter string) []byte {
		pod := suite.Pod.New("default", "main", suite.GoodSpec())
		pod.SetAnnotations(map[string]string{"note": strings.Repeat(letter, 1400<<10)})
		data, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	request := suite.Request{Kind: suite.Pod, Namespace: "default", Operation: "UPDATE", Object: large("a"), Old: large("b")}
	if response := suite.Review(t, s, "/validate", request); !response.Allowed {
		t.Errorf("got refused with %q, want allowed", response.Result.Message)
	}
}

// silence is a listener that takes connections and never says a word.
func silence(t *testing.T) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { connection.Close() })
		}
	}()
	return listener.Addr().String()
}

func registriesWith(host, timeout string) string {
	return fmt.Sprintf(`apiVersion: portcullis.dev/v1alpha1
kind: RegistryConfig
allow: {cidrs: [127.0.0.0/8]}
insecure: [%q]
timeout: %s
`, host, timeout)
}

// TestDeadline holds that an answer comes before the API server stops waiting,
// though a registry says nothing for as long as it may.
func TestDeadline(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	host := silence(t)
	s := serve(t, c, harness.ServeOptions{Registries: registriesWith(host, "30s")})
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, "{mutate: {digests: {}}}", s)
	for i, timeout := range []time.Duration{time.Second, 3 * time.Second} {
		request := suite.Request{
			Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: podWith(t, fmt.Sprintf("%s/silent:%d", host, i)),
		}
		start := time.Now()
		response := suite.Review(t, s, "/mutate?timeout="+timeout.String(), request)
		if took := time.Since(start); took > timeout {
			t.Errorf("?timeout=%s: got an answer after %s", timeout, took)
		}
		if response.Allowed || !strings.Contains(response.Result.Message, "spec.containers[0].image") {
			t.Errorf("?timeout=%s: got %+v, want a refusal that names the image", timeout, response)
		}
	}
}

// TestManyImages is T65: one pod does not make us ask a registry for everything
// that fits into it.
func TestManyImages(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{Registries: c.Registry.Config()})
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, "{mutate: {digests: {}}}", s)
	spec := suite.GoodSpec()
	const containers = 500
	for i := range containers {
		container := suite.GoodContainer(fmt.Sprintf("c%d", i))
		container.Image = fmt.Sprintf("%s/many/image:%d", c.Registry.Host(), i)
		spec.Containers = append(spec.Containers, container)
	}
	spec.AutomountServiceAccountToken = ptr.To(false)
	object, err := json.Marshal(suite.Pod.New(namespace, "main", spec))
	if err != nil {
		t.Fatal(err)
	}
	request := suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: bytes.TrimSpace(object)}
	start := time.Now()
	response := suite.Review(t, s, "/mutate?timeout=5s", request)
	if response.Allowed {
		t.Error("got it allowed, want a refusal")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("got an answer after %s, want one within 5s", took)
	}
	// 64 different images at most, and for each the question and the ping before it.
	if got, most := c.Registry.Requests("many/image"), 2*64; got > most {
		t.Errorf("got %d requests to the registry, want at most %d", got, most)
	}
}

// TestT64ClientCertificate has reviews answered only to who shows a certificate of the
// authority that was named.
func TestT64ClientCertificate(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	dir := t.TempDir()
	authority := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(authority, c.Authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, c, harness.ServeOptions{Args: []string{"--client-ca-file=" + authority}})
	ask := func(certificates ...tls.Certificate) (int, error) {
		t.Helper()
		client, err := s.HTTPClient()
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = certificates
		response, err := client.Post(s.URL+"/validate", "application/json", bytes.NewReader(review(t).Marshal(t)))
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	pair := func(by *harness.Authority) tls.Certificate {
		t.Helper()
		dir := t.TempDir()
		if _, err := by.Issue(dir); err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	other, err := harness.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if status, err := ask(pair(c.Authority)); err != nil || status != http.StatusOK {
		t.Errorf("with a certificate: got %d, %v, want an answer", status, err)
	}
	for what, certificates := range map[string][]tls.Certificate{"no certificate": nil, "one of another authority": {pair(other)}} {
		if status, err := ask(certificates...); err == nil {
			t.Errorf("with %s: got %d, want no answer", what, status)
		}
	}
}

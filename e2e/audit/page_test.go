package audit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// pageOf waits until a server says where its page is.
func pageOf(t *testing.T, s *harness.Server) string {
	t.Helper()
	address := ""
	suite.Eventually(t, suite.Soon, func() error {
		said := regexp.MustCompile(`msg="serving the audit page" address=(\S+)`).FindStringSubmatch(s.Log())
		if said == nil {
			return fmt.Errorf("the log does not say where the page is")
		}
		address = said[1]
		return nil
	})
	return address
}

// answer is what came back for a request.
type answer struct {
	*http.Response
	body string
}

func ask(t *testing.T, c *http.Client, request *http.Request) answer {
	t.Helper()
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(body)}
}

func get(t *testing.T, c *http.Client, url string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, c, request)
}

// TestPage reads the page of a replica that scans and of one that does not, and has
// the first stop: the other one scans from then on, and knows the trend.
func TestPage(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, "bad", badSpec())); err != nil {
		t.Fatal(err)
	}
	first := serve(t, c, "--audit-address=127.0.0.1:0")
	scans(t, first, 1)
	second := serve(t, c, "--audit-address=127.0.0.1:0")
	plain := &http.Client{Timeout: 10 * time.Second}
	url := "http://" + pageOf(t, first)

	page := get(t, plain, url+"/audit")
	for _, want := range []string{"would be refused", namespace + "/bad", "Readiness for Pod Security levels", "restricted:latest", "restricted:v1."} {
		if page.StatusCode != http.StatusOK || !strings.Contains(page.body, want) {
			t.Errorf("got status %d and a page without %q", page.StatusCode, want)
		}
	}
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("got Cache-Control %q", got)
	}
	var found struct {
		Results []struct{ Namespace, Name, Fix string }
	}
	if err := json.Unmarshal([]byte(get(t, plain, url+"/audit.json").body), &found); err != nil || len(found.Results) < 4 {
		t.Errorf("got %d results (%v) as JSON, want those of badSpec", len(found.Results), err)
	}
	// The page is that of what runs now.
	if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, "later", badSpec())); err != nil {
		t.Fatal(err)
	}
	scans(t, first, 2)
	if !strings.Contains(get(t, plain, url+"/audit").body, namespace+"/later") {
		t.Error("got a page of the scan before")
	}

	requirePage(t, url+"/audit", namespace+"/later")

	// The other replica says who scans, by the name in the Lease.
	var notice answer
	other := "http://" + pageOf(t, second)
	suite.Eventually(t, 30*time.Second, func() error {
		if notice = get(t, plain, other+"/audit"); !strings.Contains(notice.body, "this replica does not scan: ") {
			return fmt.Errorf("got status %d and %.200s", notice.StatusCode, notice.body)
		}
		return nil
	})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if want := "kubectl -n portcullis-system port-forward pod/" + host; notice.StatusCode != http.StatusServiceUnavailable || !strings.Contains(notice.body, want) {
		t.Errorf("got status %d and a page without %q", notice.StatusCode, want)
	}

	// The figures outlive the replica: an hour before this test there was a scan, too.
	history := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: harness.SystemNamespace, Name: "portcullis-audit"}
	if err := c.Client.Get(t.Context(), key, history); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(history.Data["figures.json"], `"denied":`) {
		t.Fatalf("got no figures in %v", history.Data)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), key, history); err != nil {
		t.Fatal(err)
	}
	var figures []map[string]any
	if err := json.Unmarshal([]byte(history.Data["figures.json"]), &figures); err != nil {
		t.Fatal(err)
	}
	figures = append([]map[string]any{{"time": time.Now().Add(-3 * time.Hour).UTC().Format(time.RFC3339), "workloads": 71, "denied": 33, "warned": 4, "findings": 99}}, figures...)
	data, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	history.Data["figures.json"] = string(data)
	if err := c.Client.Update(t.Context(), history); err != nil {
		t.Fatal(err)
	}
	scans(t, second, 1)
	if page := get(t, plain, other+"/audit"); page.StatusCode != http.StatusOK || !strings.Contains(page.body, "From 33 denied and 4 warned of 71 workloads on ") {
		t.Errorf("got status %d from the replica that scans now, and no trend since before it", page.StatusCode)
	}
	// Nothing new is nothing to write.
	if err := c.Client.Get(t.Context(), key, history); err != nil {
		t.Fatal(err)
	}
	was, hour := history.ResourceVersion, time.Now().Hour()
	scans(t, second, 2)
	if err := c.Client.Get(t.Context(), key, history); err != nil {
		t.Fatal(err)
	}
	if history.ResourceVersion != was && time.Now().Hour() == hour {
		t.Errorf("got resourceVersion %s of the figures after scans that found the same, want %s", history.ResourceVersion, was)
	}
}

// TestPageExposed asks for a page that is exposed, without a token, with one that
// is none, without the right, and with it.
func TestPageExposed(t *testing.T) {
	c := cluster.Cluster(t)
	for _, file := range []string{"10-clusterrole.yaml", "11-clusterrolebinding.yaml", "12-clusterrole-reader.yaml"} {
		create(t, c, filepath.Join("..", "..", "manifests", "components", "audit-page", file))
	}
	namespace := c.Namespace(t, nil)
	for _, name := range []string{"reader", "nobody"} {
		if err := c.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "portcullis-audit-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "reader"}},
	}
	if err := c.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Client.Delete(context.Background(), binding) })

	s := serve(t, c, "--audit-address=0.0.0.0:0")
	scans(t, s, 1)
	address := pageOf(t, s)
	port := address[strings.LastIndex(address, ":")+1:]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	secure := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	url := "https://127.0.0.1:" + port

	for _, test := range []struct {
		name, method, path, token string
		status                    int
	}{
		{"no token", http.MethodGet, "/audit", "", http.StatusUnauthorized},
		{"no token for the JSON", http.MethodGet, "/audit.json", "", http.StatusUnauthorized},
		{"no token", http.MethodHead, "/audit", "", http.StatusUnauthorized},
		{"a token that is none", http.MethodGet, "/audit", "made-up", http.StatusUnauthorized},
		{"no right", http.MethodGet, "/audit", token(t, c, namespace, "nobody"), http.StatusForbidden},
		{"no right to the JSON", http.MethodGet, "/audit.json", token(t, c, namespace, "nobody"), http.StatusForbidden},
		{"a right", http.MethodGet, "/audit", token(t, c, namespace, "reader"), http.StatusOK},
		{"a right to the JSON", http.MethodGet, "/audit.json", token(t, c, namespace, "reader"), http.StatusOK},
		{"a right", http.MethodHead, "/audit", token(t, c, namespace, "reader"), http.StatusOK},
		{"another path", http.MethodGet, "/metrics", token(t, c, namespace, "reader"), http.StatusForbidden},
		{"a right to read", http.MethodPost, "/audit", token(t, c, namespace, "reader"), http.StatusMethodNotAllowed},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.token != "" {
			request.Header.Set("Authorization", "Bearer "+test.token)
		}
		got := ask(t, secure, request)
		if got.StatusCode != test.status || strings.Contains(got.body, "Cluster audit") != (test.status == http.StatusOK && test.method == http.MethodGet && test.path == "/audit") {
			t.Errorf("%s: %s %s: got status %d and %.80q, want %d", test.name, test.method, test.path, got.StatusCode, got.body, test.status)
		}
	}
	// In plain text there is nothing.
	if got := get(t, &http.Client{Timeout: 10 * time.Second}, "http://127.0.0.1:"+port+"/audit"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("got status %d without TLS, want 400", got.StatusCode)
	}
}

// create creates the object of a file, which goes with the test.
func create(t *testing.T, c *suite.Cluster, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &object.Object); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), object); err != nil {
			t.Error(err)
		}
	})
}

// token is one of a service account.
func token(t *testing.T, c *suite.Cluster, namespace, name string) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.Client.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

package audit_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// many creates more bad PodTemplates than a page has.
func many(t testing.TB, c *suite.Cluster, namespace string, count int) {
	t.Helper()
	var workers errgroup.Group
	workers.SetLimit(16)
	for i := range count {
		workers.Go(func() error {
			return c.Client.Create(t.Context(), suite.PodTemplate.New(namespace, fmt.Sprintf("t%04d", i), badSpec()))
		})
	}
	if err := workers.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestExpiredList has etcd forget what a list was like between two of its pages, and
// requires that the scan nevertheless sees all objects, each once.
func TestExpiredList(t *testing.T) {
	c := cluster.Cluster(t)
	proxy, err := harness.NewProxy(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	namespace := c.Namespace(t, nil)
	const count = 1100
	many(t, c, namespace, count)
	t.Cleanup(func() {
		if err := c.Client.DeleteAllOf(context.Background(), &corev1.PodTemplate{}, client.InNamespace(namespace)); err != nil {
			t.Error(err)
		}
	})
	var expired atomic.Bool
	var once sync.Once
	proxy.Before(func(r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/podtemplates") || r.URL.Query().Get("continue") == "" {
			return
		}
		once.Do(func() {
			// What was listed must not be the newest any more.
			if err := c.Client.Create(t.Context(), suite.PodTemplate.New(namespace, "zz-late", badSpec())); err != nil {
				t.Error(err)
			}
			if err := c.Compact(t.Context()); err != nil {
				t.Error(err)
			}
			suite.Eventually(t, 6*suite.Soon, func() error { // the API server looks now and then
				status := statusOf(t, c, r)
				if status != http.StatusGone {
					return fmt.Errorf("got status %d for the next page, want 410", status)
				}
				expired.Store(true)
				return nil
			})
		})
	})
	kubeconfig, err := c.ConfigThrough(proxy, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got := portcullis(t, c, "", "audit", "--kubeconfig", kubeconfig, "--namespace", namespace, "--preset", "baseline", "--pod-security-version", "latest", "-o", "json")
	if !expired.Load() {
		t.Fatal("got no page that had expired")
	}
	a := read(t, got)
	names := map[string]bool{}
	for _, f := range a.findings() {
		names[f.Name] = true
	}
	if len(a.Unseen) != 0 || a.Summary["objects"] < count || a.Summary["objects"] != len(names) {
		t.Errorf("got %d objects, %d names, unseen %v, want all %d, each once\n%s", a.Summary["objects"], len(names), a.Unseen, count, got.stderr)
	}
}

// statusOf is what the API server answers to the same request.
func statusOf(t testing.TB, c *suite.Cluster, r *http.Request) (status int) {
	t.Helper()
	c.Clientset.CoreV1().RESTClient().Get().RequestURI(r.URL.RequestURI()).Do(t.Context()).StatusCode(&status)
	return status
}

// TestLeaderChange has the replica that scans go in the midst of a scan, and requires
// that the other one keeps the report, complete, and the first one writes nothing more.
func TestLeaderChange(t *testing.T) {
	c := cluster.Cluster(t)
	kind := kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", "")
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	proxy, err := harness.NewProxy(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	const workloads = 20
	for i := range workloads {
		if err := c.Client.Create(t.Context(), suite.PodTemplate.New(namespace, fmt.Sprintf("t%d", i), badSpec())); err != nil {
			t.Fatal(err)
		}
	}
	reports := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace)
	scanning, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var stopped, wrote atomic.Bool
	proxy.Before(func(r *http.Request) {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/reports/") && stopped.Load() {
			wrote.Store(true)
		}
		if !strings.HasSuffix(r.URL.Path, "/api/v1/pods") || !strings.Contains(r.Header.Get("Accept"), "application/json") {
			return
		}
		once.Do(func() {
			close(scanning)
			<-leave
		})
	})
	first := serveThrough(t, c, proxy)
	select {
	case <-scanning:
	case <-time.After(suite.Soon):
		t.Fatal("the first replica does not scan")
	}
	second := serve(t, c)
	if err := first.Terminate(); err != nil {
		t.Fatal(err)
	}
	stopped.Store(true)
	scans(t, second, 1)
	close(leave)
	if err := first.Wait(suite.Soon); err != nil {
		t.Errorf("the first replica ended with %v", err)
	}
	if wrote.Load() || strings.Contains(first.Log(), "scanned the cluster") {
		t.Error("the first replica has written a report of the scan that it did not finish")
	}
	report, err := reports.Get(t.Context(), "portcullis", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[any]bool{}
	for _, r := range results(report) {
		names[r.(map[string]any)["resources"].([]any)[0].(map[string]any)["name"]] = true
	}
	if len(names) != workloads {
		t.Errorf("got findings about %d workloads, want %d", len(names), workloads)
	}
}

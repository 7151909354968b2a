package serving_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestF19TurnedAway holds what an API server makes of a review that is turned away: it
// refuses for want of an answer, and asks once. With a Retry-After, which we do not
// send, it would ask again and again.
func TestF19TurnedAway(t *testing.T) {
	c := cluster.Cluster(t)
	var asked atomic.Int64
	var header atomic.Value
	header.Store("")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/validate") {
			asked.Add(1)
			if after := header.Load().(string); after != "" {
				w.Header().Set("Retry-After", after)
			}
		}
		http.Error(w, "too many reviews at once; try again", http.StatusTooManyRequests)
	}))
	defer server.Close()
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := c.Register(t.Context(), harness.Endpoint{URL: server.URL, CA: authority}); err != nil {
		t.Fatal(err)
	}
	namespace := c.Namespace(t, nil)
	create := func() error {
		return c.Client.Create(t.Context(), suite.Pod.New(namespace, "probe", suite.GoodSpec()), client.DryRunAll)
	}
	suite.Eventually(t, suite.Soon, func() error { // the API server learns of it by a watch
		if err := create(); !refusedUnasked(err) {
			return fmt.Errorf("got %v, want a refusal for want of an answer", err)
		}
		return nil
	})
	asked.Store(0)
	err := create()
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("got %v, want an internal error that says: failed calling webhook", err)
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("got %d questions about one pod, want 1", got)
	}
	header.Store("1")
	asked.Store(0)
	if err := create(); err == nil {
		t.Error("got it stored, want it refused")
	}
	if got := asked.Load(); got < 2 {
		t.Errorf("got %d questions with Retry-After, want several: the test proves nothing about it", got)
	}
}

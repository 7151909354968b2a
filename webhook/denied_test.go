package webhook

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/denials"
)

// TestCountDenied counts requests that are refused, and neither dry runs nor what is let in.
func TestCountDenied(t *testing.T) {
	w, _, _ := newGlassWebhook(t)
	w.admission.denied = &denials.Table{}
	for _, step := range []struct {
		user, group string
		dryRun      *bool
	}{
		{"bob", "developers", nil},
		{"bob", "developers", ptr.To(true)},
		{"bob", "developers", ptr.To(false)},
		{"ann", "oncall", nil}, // passes by break-glass
	} {
		req := privileged(aReason, step.user, step.group)
		req.DryRun = step.dryRun
		w.admission.validate(t.Context(), req)
	}
	object := types.NamespacedName{Namespace: "sys", Name: "denied"}
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: object.Name}}).CoreV1()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	keeper := &denials.Keeper{Table: w.admission.denied, Client: client, Object: object, Interval: time.Minute, Log: slog.New(slog.DiscardHandler)}
	if err := keeper.Start(ended); err != nil {
		t.Fatal(err)
	}
	counts, err := denials.Read(t.Context(), client, object)
	if err != nil || len(counts) != 1 || counts[0].Count != 2 || counts[0].User != "user" {
		t.Errorf("got %+v, %v, want two refusals of one kind", counts, err)
	}
}

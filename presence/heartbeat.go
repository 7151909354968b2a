package presence

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	registration "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// Heartbeat notes that a replica is there. Of several replicas the first to come notes
// it for all, so that the Lease is written once in each interval.
type Heartbeat struct {
	// Client reaches the API server. Required.
	Client Client
	// Lease is the namespace and the name of the Lease, which must be there. Required.
	Lease types.NamespacedName
	// Interval is how often. Required.
	Interval time.Duration
	// Configuration is the ValidatingWebhookConfiguration without which the API server
	// asks nobody. Required.
	Configuration string
	// Identity is the name of the replica.
	Identity string
	// Ready says why the replica cannot judge, nil if it can. Required.
	Ready func() error
	// Policies stand for what the policies in force say, by name. Required.
	Policies func() map[string]string
	// Log takes what an admin should know. Required.
	Log *slog.Logger

	lastErr string
}

// Client is the part of a clientset that is needed. All of it would cost each replica
// thirty megabytes.
type Client struct {
	Leases         coordination.LeasesGetter
	Configurations registration.ValidatingWebhookConfigurationsGetter
	// Now is the time by which the API server says when objects were created, as its
	// last answer told it.
	Now func() time.Time
}

// Connect makes a Client.
func Connect(config *rest.Config) (Client, error) {
	served := &clock{machine: time.Now}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &listening{next, served} })
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		return Client{}, fmt.Errorf("reaching leases: %w", err)
	}
	configurations, err := registration.NewForConfig(config)
	if err != nil {
		return Client{}, fmt.Errorf("reaching webhook configurations: %w", err)
	}
	return Client{leases, configurations, served.now}, nil
}

// Start notes until ctx ends.
func (h *Heartbeat) Start(ctx context.Context) error {
	ticker := time.NewTicker(h.Interval)
	defer ticker.Stop()
	for {
		h.log(ctx, h.beat(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// NeedLeaderElection has every replica note.
func (h *Heartbeat) NeedLeaderElection() bool { return false }

// log tells of a trouble once.
func (h *Heartbeat) log(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != h.lastErr && ctx.Err() == nil {
		h.Log.Warn("noting that this replica is there; what comes in meanwhile may be taken for admitted while nobody was", "err", err)
	}
	h.lastErr = text
}

// beat makes one note, if there is something to note and nobody else has.
func (h *Heartbeat) beat(ctx context.Context) error {
	if h.Ready() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(h.Interval, time.Second))
	defer cancel()
	leases := h.Client.Leases.Leases(h.Lease.Namespace)
	lease, err := leases.Get(ctx, h.Lease.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading Lease %q: %w", h.Lease, err)
	}
	n, err := read(lease)
	if err != nil {
		h.Log.Warn("starting the note of gaps anew", "err", err) // somebody has written into it
		n = note{}
	}
	now := h.Client.Now()
	if age := now.Sub(n.renewed); age >= 0 && age < h.Interval*3/4 {
		return nil
	}
	registered, err := h.registered(ctx)
	if err != nil || !registered {
		return err
	}
	if gap := n.since(now, h.Interval); gap != nil {
		n.gaps = append(n.gaps, *gap)
		h.Log.Info("nobody was there to judge", "from", gap.From, "until", gap.Until)
	}
	n.policies = h.Policies()
	if err := n.write(lease); err != nil {
		return err
	}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: now}
	lease.Spec.HolderIdentity = ptr.To(h.Identity)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(math.Ceil((missed * h.Interval).Seconds())))
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsConflict(err) { // else another replica was faster
		return fmt.Errorf("writing Lease %q: %w", h.Lease, err)
	}
	return nil
}

// registered reports whether the API server is told to ask.
func (h *Heartbeat) registered(ctx context.Context) (bool, error) {
	c, err := h.Client.Configurations.ValidatingWebhookConfigurations().Get(ctx, h.Configuration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading ValidatingWebhookConfiguration %q: %w", h.Configuration, err)
	}
	return len(c.Webhooks) > 0, nil
}

// Gaps are those that a Lease tells of, and the one that lasts. Without the Lease
// there are none.
func Gaps(ctx context.Context, client Client, lease types.NamespacedName, interval time.Duration) ([]Gap, error) {
	found, err := client.Leases.Leases(lease.Namespace).Get(ctx, lease.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Lease %q: %w", lease, err)
	}
	n, err := read(found)
	if err != nil {
		return nil, err
	}
	if gap := n.since(client.Now(), interval); gap != nil {
		n.gaps = append(n.gaps, *gap)
	}
	return n.gaps, nil
}

package denials

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// DefaultInterval is how often a replica adds its counts to the object.
const DefaultInterval = time.Minute

// Keeper adds the counts of a replica to the object that all share.
type Keeper struct {
	// Table is counted in. Required.
	Table *Table
	// Client reaches the API server. Required.
	Client core.ConfigMapsGetter
	// Object is the namespace and the name of the ConfigMap, which must be there.
	// Required.
	Object types.NamespacedName
	// Interval is how often. Required.
	Interval time.Duration
	// Log takes what an admin should know. Required.
	Log *slog.Logger
}

// Connect makes the client of a Keeper, and for Read.
func Connect(config *rest.Config) (core.ConfigMapsGetter, error) {
	client, err := core.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching config maps: %w", err)
	}
	return client, nil
}

// Start adds until ctx ends, and then what is left.
func (k *Keeper) Start(ctx context.Context) error {
	ticker := time.NewTicker(k.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			k.keep(last)
			return nil
		case <-ticker.C:
			k.keep(ctx)
		}
	}
}

// NeedLeaderElection has every replica add its own.
func (k *Keeper) NeedLeaderElection() bool { return false }

// keep writes only where there is something new.
func (k *Keeper) keep(ctx context.Context) {
	counts := k.Table.take()
	if len(counts) == 0 {
		return
	}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return k.add(ctx, counts) })
	if err != nil {
		k.Table.giveBack(counts)
		k.Log.Warn("adding refused requests to the reports; trying again", "err", err)
	}
}

func (k *Keeper) add(ctx context.Context, counts []Count) error {
	objects := k.Client.ConfigMaps(k.Object.Namespace)
	object, err := objects.Get(ctx, k.Object.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	before, err := decode(object.Data[ObjectKey])
	if err != nil {
		k.Log.Warn("counting refused requests anew", "err", err) // somebody has written into it
	}
	text, err := encode(merge(before, counts), time.Now())
	if err != nil {
		return err
	}
	object.Data = map[string]string{ObjectKey: text}
	_, err = objects.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// Read are the counts of all replicas, those seen last first. Without the object there
// are none.
func Read(ctx context.Context, client core.ConfigMapsGetter, object types.NamespacedName) ([]Count, error) {
	found, err := client.ConfigMaps(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %q: %w", object, err)
	}
	return decode(found.Data[ObjectKey])
}

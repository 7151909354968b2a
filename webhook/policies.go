package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/portcullis-dev/portcullis/policies"
)

// clusterPolicies keeps the policies in force equal to the PodPolicy objects of
// the cluster.
type clusterPolicies struct {
	reader cache.Cache
	// fallback is in force while the cluster has no valid PodPolicy.
	fallback []*policies.PodPolicy
	metrics  *metrics
	log      *slog.Logger

	changed chan struct{} // holds one signal: several changes are taken together
	current atomic.Pointer[policies.Set]
	// valid has the last valid version of each policy by name, so that a version
	// that got past the API server's validation does not switch enforcement off.
	valid map[string]*policies.PodPolicy
}

func newClusterPolicies(ctx context.Context, reader cache.Cache, fallback []*policies.PodPolicy, m *metrics, log *slog.Logger) (*clusterPolicies, error) {
	c := &clusterPolicies{
		reader: reader, fallback: fallback, metrics: m, log: log,
		changed: make(chan struct{}, 1), valid: map[string]*policies.PodPolicy{},
	}
	informer, err := reader.GetInformer(ctx, &policies.PodPolicy{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching PodPolicies: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.signal() },
		UpdateFunc: func(any, any) { c.signal() },
		DeleteFunc: func(any) { c.signal() },
	})
	if err != nil {
		return nil, fmt.Errorf("watching PodPolicies: %w", err)
	}
	return c, nil
}

func (c *clusterPolicies) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// set is what is in force, nil before the first load.
func (c *clusterPolicies) set() *policies.Set { return c.current.Load() }

// Start loads the policies and follows their changes until ctx ends. The cache
// is in sync when it is called.
func (c *clusterPolicies) Start(ctx context.Context) error {
	for {
		if err := c.load(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
	}
}

// NeedLeaderElection makes every replica follow the policies.
func (c *clusterPolicies) NeedLeaderElection() bool { return false }

func (c *clusterPolicies) load(ctx context.Context) error {
	var list policies.PodPolicyList
	if err := c.reader.List(ctx, &list); err != nil {
		return fmt.Errorf("listing PodPolicies: %w", err)
	}
	valid := map[string]*policies.PodPolicy{}
	invalid := 0
	for i := range list.Items {
		p := &list.Items[i]
		policies.Default(p)
		problems := policies.Validate(p)
		if len(problems) == 0 {
			valid[p.Name] = p
			continue
		}
		invalid++
		c.log.Error("ignoring an invalid PodPolicy; its last valid version stays in force", "policy", p.Name, "err", problems.Err())
		if last := c.valid[p.Name]; last != nil {
			valid[p.Name] = last
		}
	}
	inForce := c.fallback
	if len(valid) > 0 {
		inForce = nil
		for _, p := range valid {
			inForce = append(inForce, p)
		}
	}
	set, err := policies.Compile(inForce)
	if err != nil {
		return fmt.Errorf("compiling policies that are valid: %w", err)
	}
	c.valid = valid
	c.current.Store(set)
	c.metrics.policies.Set(float64(set.Len()))
	c.metrics.invalid.Set(float64(invalid))
	c.log.Info("policies in force", "policies", set.Len(), "invalid", invalid, "fallback", len(valid) == 0)
	return nil
}

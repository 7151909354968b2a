package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/policies"
)

// clusterPolicies keeps the policies in force equal to the PodPolicy objects of
// the cluster, and the exceptions from them to the PolicyException objects of the
// namespaces that the cache looks at.
type clusterPolicies struct {
	reader cache.Cache
	// fallback is in force while the cluster has no valid PodPolicy.
	fallback []*policies.PodPolicy
	metrics  *metrics
	log      *slog.Logger

	changed chan struct{} // holds one signal: several changes are taken together
	current atomic.Pointer[loaded]
	// scans are what the last scan of this replica found, by name; nil: none yet.
	scans atomic.Pointer[map[string]policyScan]
	// seen and seenExceptions hold one signal after a load, and after a change of a
	// status, for who writes the status of policies and that of exceptions.
	seen, seenExceptions chan struct{}
}

// loaded is what is in force.
type loaded struct {
	set *policies.Set
	// version counts up with each load.
	version int
	// valid has the last valid version of each policy by name, so that a version
	// that got past the API server's validation does not switch enforcement off.
	valid   map[string]*policies.PodPolicy
	invalid int // policies
	// versions are what became of each policy, by name.
	versions map[string]policyVersion
	// exceptions are what became of each exception.
	exceptions map[types.NamespacedName]exceptionVersion
}

// policyVersion is a version of a policy that was read, and what is in force of it.
type policyVersion struct {
	uid        types.UID
	generation int64
	problems   policies.Problems
	// inForce is the generation that is, 0 for none.
	inForce int64
	rules   int
	// lastValid is what is in force in place of a version that is invalid, nil for
	// nothing.
	lastValid *policies.PodPolicy
}

func newClusterPolicies(ctx context.Context, reader cache.Cache, fallback []*policies.PodPolicy, m *metrics, log *slog.Logger) (*clusterPolicies, error) {
	c := &clusterPolicies{
		reader: reader, fallback: fallback, metrics: m, log: log,
		changed: make(chan struct{}, 1), seen: make(chan struct{}, 1), seenExceptions: make(chan struct{}, 1),
	}
	for what, object := range map[string]client.Object{"PodPolicies": &policies.PodPolicy{}, "PolicyExceptions": &policies.PolicyException{}} {
		informer, err := reader.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watching %s: %w", what, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { signal(c.changed) },
			UpdateFunc: func(old, updated any) {
				if sameVersion(old, updated) {
					c.tell() // labels, or a status that somebody else wrote
					return
				}
				signal(c.changed)
			},
			DeleteFunc: func(any) { signal(c.changed) },
		})
		if err != nil {
			return nil, fmt.Errorf("watching %s: %w", what, err)
		}
	}
	return c, nil
}

// tell lets those who write a status look again.
func (c *clusterPolicies) tell() {
	signal(c.seen)
	signal(c.seenExceptions)
}

// signal leaves one signal in a channel that has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sameVersion reports whether two versions of an object lead to the same in force,
// which is so where they have one spec: the API server counts the generation up
// with each change of it. An object that was deleted and created anew while nobody
// watched starts from 1 again.
func sameVersion(old, updated any) bool {
	a, ok := old.(client.Object)
	b, both := updated.(client.Object)
	return ok && both && a.GetUID() == b.GetUID() && a.GetGeneration() == b.GetGeneration() && sameLastValid(old, updated)
}

// set is what is in force, nil before the first load.
func (c *clusterPolicies) set() *policies.Set {
	if current := c.current.Load(); current != nil {
		return current.set
	}
	return nil
}

// versioned is what is in force, nil before the first load, and a number that it
// has alone.
func (c *clusterPolicies) versioned() (*policies.Set, int) {
	if current := c.current.Load(); current != nil {
		return current.set, current.version
	}
	return nil, 0
}

// stored are the policies as they are cached, valid or not, with their status.
func (c *clusterPolicies) stored() ([]*policies.PodPolicy, error) {
	var list policies.PodPolicyList
	if err := c.reader.List(context.Background(), &list); err != nil {
		return nil, fmt.Errorf("listing PodPolicies: %w", err)
	}
	all := make([]*policies.PodPolicy, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	return all, nil
}

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
	next, err := c.read(ctx, c.reader)
	if err != nil {
		return err
	}
	var list policies.PolicyExceptionList
	if err := c.reader.List(ctx, &list); err != nil {
		return fmt.Errorf("listing PolicyExceptions: %w", err)
	}
	exceptions, invalid := c.validExceptions(list.Items)
	if next.set, err = next.set.WithExceptions(exceptions); err != nil {
		return fmt.Errorf("compiling exceptions that are valid: %w", err)
	}
	next.exceptions = exceptionVersions(list.Items, next.set)
	if current := c.current.Load(); current != nil {
		next.version = current.version + 1
	}
	c.current.Store(next)
	c.tell()
	c.metrics.inForce(next.set, next.invalid)
	c.metrics.exceptions.keep(next.set.Exceptions(), invalid)
	c.log.Info("policies in force", "policies", next.set.Len(), "invalid", next.invalid, "fallback", len(next.valid) == 0,
		"exceptions", len(exceptions), "invalid-exceptions", invalid)
	return nil
}

// read makes a set of the PodPolicies that a reader has, without exceptions.
func (c *clusterPolicies) read(ctx context.Context, reader client.Reader) (*loaded, error) {
	var list policies.PodPolicyList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing PodPolicies: %w", err)
	}
	var last map[string]*policies.PodPolicy
	if current := c.current.Load(); current != nil {
		last = current.valid
	}
	next := &loaded{valid: map[string]*policies.PodPolicy{}, versions: map[string]policyVersion{}}
	for i := range list.Items {
		p := &list.Items[i]
		policies.Default(p)
		version := policyVersion{uid: p.UID, generation: p.Generation, problems: policies.Validate(p)}
		inForce := p
		if len(version.problems) > 0 {
			next.invalid++
			c.log.Error("ignoring an invalid PodPolicy; its last valid version stays in force", "policy", p.Name, "err", version.problems.Err())
			if inForce = last[p.Name]; inForce == nil {
				inForce = storedVersion(p) // this process has started since
			}
			version.lastValid = inForce
		}
		if inForce != nil {
			next.valid[p.Name] = inForce
			version.inForce = inForce.Generation
		}
		next.versions[p.Name] = version
	}
	inForce := c.fallback
	if len(next.valid) > 0 {
		inForce = slices.Collect(maps.Values(next.valid))
	}
	var err error
	if next.set, err = policies.Compile(inForce); err != nil {
		return nil, fmt.Errorf("compiling policies that are valid: %w", err)
	}
	for _, p := range next.set.Policies() {
		if version, ok := next.versions[p.Name]; ok && next.valid[p.Name] != nil {
			version.rules = p.Rules()
			next.versions[p.Name] = version
		}
	}
	return next, nil
}

// validExceptions leaves out what got past the API server's validation: an
// exception that nobody can read exempts from nothing.
func (c *clusterPolicies) validExceptions(list []policies.PolicyException) (valid []*policies.PolicyException, invalid int) {
	for i := range list {
		e := &list[i]
		problems := policies.ValidateException(e)
		if len(problems) == 0 {
			valid = append(valid, e)
			continue
		}
		invalid++
		c.log.Error("ignoring an invalid PolicyException; it exempts from nothing", "namespace", e.Namespace, "exception", e.Name, "err", problems.Err())
	}
	return valid, invalid
}

// fresh are the policies in force by a live look, which a change of a moment ago
// has not escaped.
func (c *clusterPolicies) fresh(ctx context.Context, live client.Reader) ([]*policies.Compiled, error) {
	next, err := c.read(ctx, live)
	if err != nil {
		return nil, err
	}
	return next.set.Policies(), nil
}

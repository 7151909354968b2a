package webhook

import (
	"context"
	"time"

	"github.com/portcullis-dev/portcullis/policies"
)

// policySource is where the policies in force are read from.
type policySource struct {
	set       func() *policies.Set
	versioned func() (*policies.Set, int)
	// stored is nil where policies come from files.
	stored func() ([]*policies.PodPolicy, error)
	// named are the policies that an exception can name, with changes of a moment
	// ago.
	named func(context.Context) ([]*policies.Compiled, error)
	// scanned takes what a scan found by a set of them.
	scanned func(int, map[string]policies.PolicyScan)
	// lead is what the replica that holds the lease does about them.
	lead []func(context.Context)
}

func (s *server) policySource(ctx context.Context) (policySource, error) {
	s.metrics.exceptions.warning = s.options.ExceptionWarning
	if len(s.options.Policies) > 0 {
		return s.filePolicies()
	}
	source, err := newClusterPolicies(ctx, s.manager.GetCache(), s.options.Fallback, s.metrics, s.options.Log)
	if err != nil {
		return policySource{}, err
	}
	named := func(ctx context.Context) ([]*policies.Compiled, error) {
		return source.fresh(ctx, s.manager.GetAPIReader())
	}
	status := &policyStatus{source: source, client: s.manager.GetClient(), alerts: s.options.Alerts, log: s.options.Log}
	exceptions := &exceptionStatus{
		source: source, client: s.manager.GetClient(), events: s.manager.GetEventRecorder(eventSource),
		warning: s.options.ExceptionWarning, now: time.Now, log: s.options.Log,
	}
	return policySource{
		set: source.set, versioned: source.versioned, stored: source.stored, named: named, scanned: source.scanned,
		lead: []func(context.Context){status.lead, exceptions.lead},
	}, s.manager.Add(source)
}

// filePolicies are those that were read at the start.
func (s *server) filePolicies() (policySource, error) {
	set, err := policies.Compile(s.options.Policies)
	if err != nil {
		return policySource{}, err
	}
	if set, err = set.WithExceptions(s.options.Exceptions); err != nil {
		return policySource{}, err
	}
	s.metrics.policies.Set(float64(set.Len()))
	s.metrics.exceptions.keep(set.Exceptions(), 0)
	return policySource{
		set:       func() *policies.Set { return set },
		versioned: func() (*policies.Set, int) { return set, 0 },
		named:     func(context.Context) ([]*policies.Compiled, error) { return set.Policies(), nil },
		scanned:   func(int, map[string]policies.PolicyScan) {}, // files have no status
	}, nil
}

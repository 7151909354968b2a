package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/portcullis-dev/portcullis/audit"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/webhook"
)

// auditServeFlags say how serve scans the cluster.
type auditServeFlags struct {
	interval time.Duration
	worst    int
	events   bool
}

func (f *auditServeFlags) register(flags *pflag.FlagSet) {
	flags.DurationVar(&f.interval, "audit-interval", 10*time.Minute, "how long from one scan of what runs to the next, 0 for none")
	flags.IntVar(&f.worst, "audit-findings", audit.DefaultWorst, "`number` of findings in the report of a namespace, the worst ones; more are only counted")
	flags.BoolVar(&f.events, "audit-events", true, "tell what a scan finds anew by Events on the workloads, a bounded number of them; --audit-events=false for none")
}

// minAuditInterval keeps a scan from following upon another.
const minAuditInterval = time.Second

func (f *auditServeFlags) check() error {
	var errs []error
	if f.interval != 0 && f.interval < minAuditInterval {
		errs = append(errs, fmt.Errorf("reading --audit-interval %s: want at least %s, or 0", f.interval, minAuditInterval))
	}
	if f.worst < 1 || f.worst > 1000 {
		errs = append(errs, fmt.Errorf("reading --audit-findings %d: want 1 to 1000", f.worst))
	}
	return errors.Join(errs...)
}

// lead makes what scans, nil for nothing.
func (f *auditServeFlags) lead(o webhook.Options) func(webhook.Shared) func(context.Context) {
	if f.interval == 0 {
		return nil
	}
	// An Event without the name of who wrote it is refused.
	host := "portcullis"
	if name, err := os.Hostname(); err == nil && name != "" {
		host = name
	}
	return func(shared webhook.Shared) func(context.Context) {
		return (&audit.Service{
			Config: o.Config, Judge: func() (audit.Judge, error) { return servingJudge(shared) }, Interval: f.interval, Worst: f.worst,
			Metrics: audit.NewMetrics(ctrlmetrics.Registry), Events: f.events, Instance: host[:min(len(host), 128)], Alerts: o.Alerts, Log: o.Log,
		}).Run
	}
}

// servingJudge is the judge by what is in force, nil before that is known.
func servingJudge(shared webhook.Shared) (audit.Judge, error) {
	set, version := shared.Policies()
	if set == nil {
		return nil, nil
	}
	now := time.Now()
	j := &judge{engine: shared.Engine, policies: set, images: shared.Images, now: now}
	if shared.Stored != nil {
		list, err := shared.Stored()
		if err != nil {
			return nil, err
		}
		j.glass = glassOf(list)
	}
	// The readiness matrix is for who asks for it, by portcullis audit.
	return newClusterJudge(j, fmt.Sprintf("%d, %d ended, %s", version, ended(set, now), j.glass.version(now)), nil)
}

// ended counts the exceptions that have ended, for each policy by itself: with each
// of them the same policies judge otherwise.
func ended(set *policies.Set, now time.Time) int {
	count := 0
	for _, e := range set.Exceptions() {
		for _, p := range set.Policies() {
			if end, named := e.Ends(p.Name); named && !now.Before(end) {
				count++
			}
		}
	}
	return count
}

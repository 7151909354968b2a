package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/pflag"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/portcullis-dev/portcullis/audit"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/webhook"
)

// auditServeFlags say how serve scans the cluster.
type auditServeFlags struct {
	interval time.Duration
	worst    int
	images   time.Duration
	address  string
	events   bool
}

func (f *auditServeFlags) register(flags *pflag.FlagSet) {
	flags.DurationVar(&f.interval, "audit-interval", 10*time.Minute, "how long from one scan of what runs to the next, 0 for none")
	flags.DurationVar(&f.images, "audit-images", 6*time.Hour, "how long from one question to the registry about a pinned image that runs to the next, 0 for none: whether its tag has moved, and whether it is still there; only where a policy asks registries too")
	flags.IntVar(&f.worst, "audit-findings", audit.DefaultWorst, "`number` of findings in the report of a namespace, the worst ones; more are only counted")
	flags.StringVar(&f.address, "audit-address", "127.0.0.1:8083", "`host:port` of /audit and /audit.json, which show the last scan, 0 for none; on another address than a loopback one by TLS, to whom the API server authenticates and allows to get these paths")
	flags.BoolVar(&f.events, "audit-events", true, "tell what a scan finds anew by Events on the workloads, a bounded number of them; --audit-events=false for none")
}

// minAuditInterval keeps a scan from following upon another.
const minAuditInterval = time.Second

func (f *auditServeFlags) check() error {
	var errs []error
	if f.interval != 0 && f.interval < minAuditInterval {
		errs = append(errs, fmt.Errorf("reading --audit-interval %s: want at least %s, or 0", f.interval, minAuditInterval))
	}
	if f.images != 0 && f.images < minAuditInterval {
		errs = append(errs, fmt.Errorf("reading --audit-images %s: want at least %s, or 0", f.images, minAuditInterval))
	}
	if f.worst < 1 || f.worst > 1000 {
		errs = append(errs, fmt.Errorf("reading --audit-findings %d: want 1 to 1000", f.worst))
	}
	if err := checkAddress("--audit-address", f.address, 0); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addScan makes what scans, and what shows the scans, unless there is nothing to do.
func (s *serveFlags) addScan(o *webhook.Options) error {
	f := &s.audit
	if f.interval == 0 {
		return nil
	}
	var gaps func(context.Context) ([]presence.Gap, error)
	if s.heartbeat.interval > 0 {
		var err error
		if gaps, err = s.heartbeat.gaps(o.Config); err != nil {
			return err
		}
	}
	denied, err := s.denied.read(o.Config)
	if err != nil {
		return err
	}
	// An Event without the name of who wrote it is refused.
	host := "portcullis"
	if name, err := os.Hostname(); err == nil && name != "" {
		host = name
	}
	history, err := audit.NewHistory(o.Config, o.Lease.Namespace)
	if err != nil {
		return err
	}
	service := &audit.Service{
		Config: o.Config, Interval: f.interval, Worst: f.worst, History: history, Gaps: gaps, Denied: denied,
		Events: f.events, Instance: host[:min(len(host), 128)], Alerts: o.Alerts, Log: o.Log,
	}
	if f.address != "0" {
		_, port, _ := net.SplitHostPort(f.address) // which check has read
		service.Latest = &audit.Latest{
			Version: version, History: history, Namespace: o.Lease.Namespace, Port: port, Exposed: !webhook.LocalAddress(f.address), Log: o.Log,
		}
		o.AuditPage, o.AuditAddress = service.Latest, f.address
	}
	o.Lead = func(shared webhook.Shared) func(context.Context) {
		if service.Latest != nil {
			service.Latest.Leader = shared.Leader
		}
		service.Metrics = audit.NewMetrics(ctrlmetrics.Registry)
		if f.images > 0 {
			service.Standings = &audit.Standings{Registries: shared.Registries, Interval: f.images, PullSecrets: o.PullSecrets, Wanted: func() bool {
				set, _ := shared.Policies()
				return set != nil && set.AsksRegistries()
			}}
		}
		versions := f.versions(o)
		service.Judge = func() (audit.Judge, error) { return servingJudge(shared, versions()) }
		service.Scanned = func(by audit.Judge, found *audit.Scan) {
			if j, ok := by.(*clusterJudge); ok {
				shared.Scanned(j.set, found.PolicyScans())
			}
		}
		return service.Run
	}
	return nil
}

// versions are those of the readiness matrix, which the page shows. They are asked of
// the API server until it has answered once.
func (f *auditServeFlags) versions(o *webhook.Options) func() []string {
	var known []string
	return func() []string {
		if f.address == "0" || known != nil {
			return known
		}
		versions, err := podSecurityVersions(o.Config)
		if err != nil {
			o.Log.Warn("making the readiness matrix for the latest version alone", "err", err)
			return []string{"latest"}
		}
		known = versions
		return known
	}
}

// servingJudge is the judge by what is in force, nil before that is known, with the
// readiness for some versions of the Pod Security levels.
func servingJudge(shared webhook.Shared, versions []string) (audit.Judge, error) {
	set, number := shared.Policies()
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
	made, err := newClusterJudge(j, fmt.Sprintf("%d, %d ended, %v, %s", number, ended(set, now), versions, j.glass.version(now)), versions)
	if err != nil {
		return nil, err
	}
	made.set, made.offlineMatrix = number, true
	return made, nil
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

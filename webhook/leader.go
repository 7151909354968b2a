package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The times of the lease, which are those of Kubernetes' own controllers
// (k8s.io/component-base/config/v1alpha1, RecommendedDefaultLeaderElectionConfiguration).
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// leader has one replica at a time do what must not be done by all. The election
// that a manager of controller-runtime offers is not for us: who loses its lease,
// while the API server is slow say, has to end its process, and with it the
// webhook.
type leader struct {
	lock *resourcelock.LeaseLock
	// lead are what it does side by side until ctx ends, which it does when the lease
	// is lost.
	lead []func(ctx context.Context)
	log  *slog.Logger

	elector atomic.Pointer[leaderelection.LeaderElector]
}

// holder is the name in the lease of the replica that leads, empty while that is not
// known.
func (l *leader) holder() string {
	if elector := l.elector.Load(); elector != nil {
		return elector.GetLeader()
	}
	return ""
}

// newLeader makes a candidate. Its name in the lease is that of its pod, and
// something that tells two processes of one pod apart.
func newLeader(config *rest.Config, lease types.NamespacedName, lead []func(context.Context), log *slog.Logger) (*leader, error) {
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching leases: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("finding the name of this replica: %w", err)
	}
	return &leader{lead: lead, log: log, lock: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: lease.Namespace, Name: lease.Name},
		Client:     leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}}, nil
}

// Start stands for election until ctx ends, again after each term.
func (l *leader) Start(ctx context.Context) error {
	var working sync.Mutex
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: l.lock, Name: l.lock.LeaseMeta.Name, ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				l.log.Info("leading: this replica writes the status of policies and scans what runs", "lease", l.lock.Describe())
				working.Lock() // the work of the term before may not have noticed yet that it is over
				defer working.Unlock()
				var work sync.WaitGroup
				for _, lead := range l.lead {
					work.Go(func() { lead(ctx) })
				}
				work.Wait()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("standing for election: %w", err)
	}
	l.elector.Store(elector)
	ctx = logr.NewContext(ctx, logr.FromSlogHandler(l.log.Handler()))
	for ctx.Err() == nil {
		elector.Run(ctx)
	}
	working.Lock() // wait for what is still under way
	defer working.Unlock()
	return nil
}

// addLeader has one replica at a time do some work.
func (s *server) addLeader(lead []func(context.Context)) error {
	if len(lead) == 0 {
		return nil
	}
	elected, err := newLeader(s.options.Config, s.options.Lease, lead, s.options.Log)
	if err != nil {
		return err
	}
	s.elected = elected
	return s.manager.Add(elected)
}

// NeedLeaderElection has every replica stand for election.
func (l *leader) NeedLeaderElection() bool { return false }

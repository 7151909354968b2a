package webhook

import (
	"context"
	"fmt"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// stopTimeout bounds the stop after the shutdown delay: the longest review, and
// some more.
const stopTimeout = maxDeadline + 5*time.Second

// tlsServer starts once there is a certificate. It is one of the manager's
// webhooks, which start before the caches and end after them: until the policies
// are loaded it refuses, and while it drains the caches still answer.
type tlsServer struct {
	ctrlwebhook.Server
	served *certificate
	// files are followed while it runs. Nil: somebody else sets the certificate.
	files *certificateFiles
}

// Start waits for the certificate and serves until ctx ends.
func (t *tlsServer) Start(ctx context.Context) error {
	if t.files != nil {
		go t.files.watch(ctx)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := t.served.get(nil); err == nil {
			return t.Server.Start(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// whenStarted is called by the manager when the caches are in sync.
type whenStarted func()

// Start calls it.
func (w whenStarted) Start(context.Context) error { w(); return nil }

// NeedLeaderElection has every replica call it.
func (w whenStarted) NeedLeaderElection() bool { return false }

// run runs the manager, and lets it stop only after the delay for draining.
func (s *server) run(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		select {
		case <-running.Done():
			return
		case <-ctx.Done():
		}
		s.draining.Store(true)
		if s.started.Load() {
			s.options.Log.Info("draining", "delay", s.options.ShutdownDelay)
			time.Sleep(s.options.ShutdownDelay)
		}
		stop()
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.manager.Start(running) }()
	select {
	case err := <-ended:
		return serving(err)
	case <-running.Done():
	}
	if !s.started.Load() {
		// Nothing was judged that would have to be finished. And the manager cannot
		// be waited for: while caches are not in sync, for want of rights say, it
		// takes no notice and spins (sigs.k8s.io/controller-runtime v0.25.2,
		// pkg/manager/runnable_group.go, Start).
		return nil
	}
	select {
	case err := <-ended:
		return serving(err)
	case <-time.After(stopTimeout):
		return fmt.Errorf("serving: not stopped within %s", stopTimeout)
	}
}

func serving(err error) error {
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

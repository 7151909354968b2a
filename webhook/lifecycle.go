package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// stopTimeout bounds the stop after the shutdown delay: the longest review, and
// some more.
const stopTimeout = maxDeadline + 5*time.Second

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tlsServer starts once there is a certificate. It is one of the manager's
// webhooks, which start before the caches and end after them: until the policies
// are loaded it refuses, and while it drains the caches still answer.
type tlsServer struct {
	ctrlwebhook.Server
	certDir string
	log     *slog.Logger
}

// Start waits for the certificate and serves until ctx ends.
func (t *tlsServer) Start(ctx context.Context) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for waited := 0; ; waited++ {
		_, err := os.Stat(filepath.Join(t.certDir, certName))
		if err == nil {
			return t.Server.Start(ctx)
		}
		if waited%300 == 10 { // after a second, then every half minute
			t.log.Warn("waiting for the certificate; mount tls.crt and tls.key at --cert-dir, or use --self-signed", "cert-dir", t.certDir, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

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
		s.options.Log.Info("draining", "delay", s.options.ShutdownDelay)
		time.Sleep(s.options.ShutdownDelay)
		stop()
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.manager.Start(running) }()
	select {
	case err := <-ended:
		return serving(err)
	case <-running.Done():
	}
	select {
	case err := <-ended:
		return serving(err)
	case <-time.After(stopTimeout):
		// Caches that were never in sync, for want of rights, do not stop by themselves.
		return fmt.Errorf("serving: not stopped within %s", stopTimeout)
	}
}

func serving(err error) error {
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The bounds of the page, which must never keep the process from answering reviews.
const (
	pageHeaderTimeout = 5 * time.Second
	pageReadTimeout   = 10 * time.Second
	pageWriteTimeout  = time.Minute
	pageIdleTimeout   = time.Minute
	pageHeaderBytes   = 16 << 10
	// pageRequests is how many are answered at once.
	pageRequests = 4
)

// LocalAddress reports whether a host:port is reached from this machine, or this pod,
// alone.
func LocalAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && localHost(host)
}

func localHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// auditPage serves what scans found. On an address of the machine itself it answers
// whoever reaches that, which in a pod takes the right to forward its ports. On any
// other it serves by TLS, and has the API server say who asks and whether they may
// (https://kubernetes.io/docs/reference/access-authn-authz/authorization/, non-resource
// URLs).
type auditPage struct {
	address string
	page    http.Handler
	manager manager.Manager
	served  *certificate
	log     *slog.Logger
}

// Start serves until ctx ends. What keeps it from serving is logged and nothing
// more: reviews have to be answered all the same.
func (a *auditPage) Start(ctx context.Context) error {
	if err := a.serve(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("serving the audit page: there is none now", "err", err)
	}
	return nil
}

// NeedLeaderElection has every replica serve it.
func (a *auditPage) NeedLeaderElection() bool { return false }

func (a *auditPage) serve(ctx context.Context) error {
	handler, err := a.handler()
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", a.address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: pageHeaderTimeout, ReadTimeout: pageReadTimeout, WriteTimeout: pageWriteTimeout, IdleTimeout: pageIdleTimeout,
		MaxHeaderBytes: pageHeaderBytes,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelDebug), // scanners and broken handshakes
	}
	if !LocalAddress(a.address) {
		listener = tls.NewListener(listener, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: a.served.get,
		})
	}
	a.log.Info("serving the audit page", "address", listener.Addr().String(), "exposed", !LocalAddress(a.address))
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // a page that breaks off is asked for again
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler is the page behind what keeps others away.
func (a *auditPage) handler() (http.Handler, error) {
	if LocalAddress(a.address) {
		return local(bound(semaphore.NewWeighted(pageRequests), a.page)), nil
	}
	who, err := newAccess(a.manager, a.log)
	if err != nil {
		return nil, err
	}
	return readOnly(who.protect(bound(semaphore.NewWeighted(pageRequests), a.page))), nil
}

// readOnly turns away what writes, before anybody is asked who sends it.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "there is only something to read: use GET", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bound answers so many requests at once, and turns others away.
func bound(room *semaphore.Weighted, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !room.TryAcquire(1) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many ask at once; try again in a moment", http.StatusServiceUnavailable)
			return
		}
		defer room.Release(1)
		next.ServeHTTP(w, r)
	})
}

// local answers who asks for this machine by a name of its own. A web site that gives
// its name the address 127.0.0.1 could have a browser read the forwarded port else
// (DNS rebinding).
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !localHost(host) {
			http.Error(w, "use localhost or 127.0.0.1 as the name of the host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// noAddress as an address is that of a server that does not listen.
const noAddress = "0"

// check is one condition of being ready.
type check struct {
	name string
	err  func() error // why it is not met
}

func errorIf(wrong bool, text string) error {
	if wrong {
		return errors.New(text)
	}
	return nil
}

// readiness answers /readyz: with 200 if all checks pass, and otherwise with 503.
// The body has a line for each, and the log one for each change: a kubelet passes
// on the status and not the body.
type readiness struct {
	checks []check
	log    *slog.Logger

	mu   sync.Mutex
	last string
}

func (h *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var body strings.Builder
	var problems []string
	for _, c := range h.checks {
		err := c.err()
		if err == nil {
			fmt.Fprintf(&body, "[+] %s\n", c.name)
			continue
		}
		fmt.Fprintf(&body, "[-] %s: %v\n", c.name, err)
		problems = append(problems, c.name+": "+err.Error())
	}
	h.note(strings.Join(problems, "; "))
	if len(problems) > 0 {
		http.Error(w, "not ready\n"+body.String(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "ready\n%s", body.String())
}

// note logs a change.
func (h *readiness) note(problems string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if problems == h.last {
		return
	}
	h.last = problems
	if problems == "" {
		h.log.Info("ready")
		return
	}
	h.log.Info("not ready", "because", problems)
}

// addHealth makes the manager serve /healthz, which says that the process
// answers, and /readyz.
func (s *server) addHealth(checks []check) error {
	if s.options.HealthAddress == noAddress {
		return nil
	}
	listener, err := net.Listen("tcp", s.options.HealthAddress)
	if err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/readyz", &readiness{checks: checks, log: s.options.Log})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return s.manager.Add(&manager.Server{
		Name: "health", Listener: listener,
		Server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16},
	})
}

package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"

	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// addServer adds the TLS server, its certificates and the health checks.
func (s *server) addServer(ctx context.Context, mux *http.ServeMux) error {
	served := &certificate{}
	served.register(ctrlmetrics.Registry)
	listening := &tlsServer{served: served}
	checks := []check{
		{"draining", func() error { return errorIf(s.draining.Load(), "asked to stop") }},
		{"caches", func() error {
			return errorIf(!s.started.Load(), "not in sync; if this lasts, the log says what may not be read")
		}},
		{"policies", func() error { return errorIf(!s.loaded(), "not loaded yet") }},
	}
	if s.options.SelfSigned != nil {
		r := &rotation{options: s.options.SelfSigned, served: served, log: s.options.Log}
		if err := addSelfSigned(ctx, s.manager, r); err != nil {
			return err
		}
		checks = append(checks, check{"certificate", r.ready})
	} else {
		listening.files = &certificateFiles{dir: s.options.CertDir, served: served, log: s.options.Log}
	}
	var err error
	if listening.Server, err = s.newServer(served, mux); err != nil {
		return err
	}
	if err := s.manager.Add(listening); err != nil {
		return fmt.Errorf("adding the TLS server: %w", err)
	}
	if s.options.AuditPage != nil {
		page := &auditPage{address: s.options.AuditAddress, page: s.options.AuditPage, manager: s.manager, served: served, log: s.options.Log}
		if err := s.manager.Add(page); err != nil {
			return fmt.Errorf("adding the audit page: %w", err)
		}
	}
	answers := listening.StartedChecker()
	checks = append(checks, check{"tls", untilAnswered(func() error { return answers(nil) })})
	if err := s.addHeartbeat(checks); err != nil {
		return err
	}
	return s.addHealth(checks)
}

// newServer makes the server that API servers connect to.
func (s *server) newServer(served *certificate, mux *http.ServeMux) (ctrlwebhook.Server, error) {
	host, port, err := net.SplitHostPort(s.options.Address)
	if err != nil {
		return nil, fmt.Errorf("reading the address %q: %w", s.options.Address, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("reading the port of address %q: %w", s.options.Address, err)
	}
	shaking := &handshakes{room: s.room, metrics: s.metrics, hold: handshakeHold, onShed: func() {
		s.options.Log.Warn("turning connections away: there are more than can be answered in time")
	}}
	return ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: number, WebhookMux: mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.GetCertificate, c.GetConfigForClient = served.get, shaking.admit
			if s.options.ClientCAs != nil {
				c.ClientCAs, c.ClientAuth = s.options.ClientCAs, tls.RequireAndVerifyClientCert
			}
		}},
	}), nil
}

// Package webhook carries admission reviews between the API server and the
// engine, and keeps what stands around that from taking the cluster down:
// certificates, deadlines, readiness, draining, metrics.
//
// Without it a slow registry, an expired certificate or a rolling update would
// stop pods from being created, or let bad ones through unseen.
package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
	"github.com/portcullis-dev/portcullis/policies"
)

// The paths that the webhook configurations name.
const (
	MutatePath   = "/mutate"
	ValidatePath = "/validate"
)

// ConfigurationName is the name of the MutatingWebhookConfiguration and of the
// ValidatingWebhookConfiguration in the manifests.
const ConfigurationName = "portcullis"

// Serve answers admission reviews until ctx ends, and returns once it has
// drained: unready first, still answering for ShutdownDelay, then waiting for
// the requests under way.
func Serve(ctx context.Context, o Options) error {
	ctrl.SetLogger(logr.FromSlogHandler(libraryLog{o.Log.Handler()}))
	mgr, err := newManager(o)
	if err != nil {
		return err
	}
	s := &server{options: o, manager: mgr, metrics: newMetrics(ctrlmetrics.Registry), room: newRoom()}
	if err := s.setUp(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// newManager makes the manager of the API connections: caches of namespaces and
// policies, and the metrics and health endpoints.
func newManager(o Options) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering core types: %w", err)
	}
	if err := admissionregistrationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering webhook configuration types: %w", err)
	}
	if err := policies.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering policy types: %w", err)
	}
	shared := true
	counting := map[string]cache.Config{}
	for _, namespace := range o.exceptionNamespaces() {
		counting[namespace] = cache.Config{}
	}
	objects := map[client.Object]cache.ByObject{
		&corev1.Namespace{}: {UnsafeDisableDeepCopy: &shared}, // read in each review, never changed
	}
	if len(o.Policies) == 0 { // else the cluster needs no CRDs of ours
		// What is elsewhere is not even seen (CVE-2024-48921).
		objects[&policies.PolicyException{}] = cache.ByObject{Namespaces: counting}
	}
	if s := o.SelfSigned; s != nil {
		// By name, as the service account may.
		objects[&corev1.Secret{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{s.Secret.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", s.Secret.Name),
		}
	}
	if r := o.Registration; r != nil {
		objects[&corev1.ConfigMap{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{r.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", r.Name),
		}
	}
	if o.SelfSigned != nil || o.Registration != nil {
		named := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName)}
		objects[&admissionregistrationv1.ValidatingWebhookConfiguration{}] = named
		objects[&admissionregistrationv1.MutatingWebhookConfiguration{}] = named
	}
	mgr, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: objects},
		Metrics: metricsserver.Options{BindAddress: o.MetricsAddress},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return mgr, nil
}

type server struct {
	options  Options
	manager  manager.Manager
	metrics  *metrics
	started  atomic.Bool // the caches are in sync
	draining atomic.Bool
	room     *room
	loaded   func() bool // whether the policies are
	inForce  func() *policies.Set
	elected  *leader // nil: nothing is there to lead
}

// leader is the name of the replica that leads, empty while that is not known.
func (s *server) leader() string {
	if s.elected == nil {
		return ""
	}
	return s.elected.holder()
}

// setUp gives the manager everything it has to run.
func (s *server) setUp(ctx context.Context) error {
	core, err := engine.New()
	if err != nil {
		return err
	}
	source, err := s.policySource(ctx)
	if err != nil {
		return err
	}
	s.inForce = source.set
	s.loaded = func() bool { return source.set() != nil }
	if err := s.manager.Add(whenStarted(func() { s.started.Store(true) })); err != nil {
		return fmt.Errorf("adding the note of the start: %w", err)
	}
	// Asking for the informer now makes the manager wait for it.
	if _, err := s.manager.GetCache().GetInformer(ctx, &corev1.Namespace{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	lookup := namespaces{cached: s.manager.GetCache(), live: s.manager.GetAPIReader()}
	labels, err := newLabelAdmission(lookup, core.PodSecurity())
	if err != nil {
		return err
	}
	registries := s.registries()
	a := &admission{
		engine: core, policies: source.set, namespaces: lookup, images: s.locked(registries),
		metrics: s.metrics, log: s.options.Log, now: time.Now, warning: s.options.ExceptionWarning,
	}
	if err := s.addDenials(a); err != nil {
		return err
	}
	if len(s.options.Policies) == 0 {
		a.glass = s.newGlassBreaker()
	}
	exceptions := &exceptionAdmission{policies: source.named, namespaces: s.options.exceptionNamespaces(), now: time.Now, log: s.options.Log}
	warm := &warmUp{pods: s.manager.GetAPIReader(), admission: a, images: registries, log: s.options.Log}
	if err := s.manager.Add(warm); err != nil {
		return fmt.Errorf("adding the warm-up: %w", err)
	}
	if err := s.addLead(core, source, registries); err != nil {
		return err
	}
	if s.options.Registration != nil {
		if err := s.addRegistrationGuard(ctx, newRegistrationMetrics(ctrlmetrics.Registry)); err != nil {
			return err
		}
	}
	validate := func(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
		switch {
		case isNamespace(req):
			req.turns.giveBack() // it lists pods
			defer req.turns.retake()
			return labels.admit(ctx, req)
		case isPolicy(req):
			return admitPolicy(req)
		case isException(req):
			req.turns.giveBack() // it reads policies
			defer req.turns.retake()
			return exceptions.admit(ctx, req)
		}
		return a.validate(ctx, req)
	}
	mux := http.NewServeMux()
	mux.Handle(MutatePath, s.endpoint("mutate", a.mutate))
	mux.Handle(ValidatePath, s.endpoint("validate", validate))
	return s.addServer(ctx, mux)
}

// addLead makes the manager run what one replica does for all.
func (s *server) addLead(core *engine.Engine, source policySource, registries *image.Registries) error {
	if s.options.Lead != nil {
		source.lead = append(source.lead, s.options.Lead(Shared{
			Engine: core, Policies: source.versioned, Stored: source.stored, Images: s.locked(registries), Registries: registries,
			Scanned: source.scanned, Leader: s.leader,
		}))
	}
	if s.options.Alerts != nil {
		alerts := &exceptionAlerts{set: source.set, sink: s.options.Alerts, warning: s.options.ExceptionWarning, now: time.Now}
		source.lead = append(source.lead, alerts.lead)
	}
	return s.addLeader(source.lead)
}

// registries answers questions about images.
func (s *server) registries() *image.Registries {
	o := image.Options{Metrics: ctrlmetrics.Registry, Keychain: image.AmbientKeychain()}
	if s.options.PullSecrets {
		o.Secrets = pullSecrets{live: s.manager.GetAPIReader()}
	}
	return image.New(s.options.Registries, o)
}

// locked answers questions about images by the lock before registries.
func (s *server) locked(registries *image.Registries) gatherer {
	if s.options.Lock == nil {
		return registries
	}
	return &lock.Images{Lock: s.options.Lock, Next: registries}
}

func (s *server) endpoint(name string, admit func(context.Context, *request) *admissionv1.AdmissionResponse) http.Handler {
	return &endpoint{name: name, admit: admit, metrics: s.metrics, log: s.options.Log, draining: &s.draining, room: s.room}
}

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

// addServer adds the TLS server, its certificates and the health checks.
func (s *server) addServer(ctx context.Context, mux *http.ServeMux) error {
	host, port, err := net.SplitHostPort(s.options.Address)
	if err != nil {
		return fmt.Errorf("reading the address %q: %w", s.options.Address, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("reading the port of address %q: %w", s.options.Address, err)
	}
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
	shaking := &handshakes{room: s.room, metrics: s.metrics, hold: handshakeHold, onShed: func() {
		s.options.Log.Warn("turning connections away: there are more than can be answered in time")
	}}
	listening.Server = ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: number, WebhookMux: mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.GetCertificate, c.GetConfigForClient = served.get, shaking.admit
			if s.options.ClientCAs != nil {
				c.ClientCAs, c.ClientAuth = s.options.ClientCAs, tls.RequireAndVerifyClientCert
			}
		}},
	})
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

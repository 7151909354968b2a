// Package webhook carries admission reviews between the API server and the
// engine, and keeps what stands around that from taking the cluster down:
// certificates, deadlines, readiness, draining, metrics.
//
// Without it a slow registry, an expired certificate or a rolling update would
// stop pods from being created, or let bad ones through unseen.
package webhook

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

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
	validate := &validation{workloads: a, labels: labels, exceptions: exceptions}
	mux := http.NewServeMux()
	mux.Handle(MutatePath, s.endpoint("mutate", a.mutate))
	mux.Handle(ValidatePath, s.endpoint("validate", validate.admit))
	return s.addServer(ctx, mux)
}

// validation answers at ValidatePath, each kind of object by whoever knows it.
type validation struct {
	workloads  *admission
	labels     *labelAdmission
	exceptions *exceptionAdmission
}

func (v *validation) admit(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	switch {
	case isNamespace(req):
		req.turns.giveBack() // it lists pods
		defer req.turns.retake()
		return v.labels.admit(ctx, req)
	case isPolicy(req):
		return admitPolicy(req)
	case isException(req):
		req.turns.giveBack() // it reads policies
		defer req.turns.retake()
		return v.exceptions.admit(ctx, req)
	}
	return v.workloads.validate(ctx, req)
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

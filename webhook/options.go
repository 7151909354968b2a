package webhook

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
	"github.com/portcullis-dev/portcullis/policies"
)

// Options configure Serve. Zero values are the defaults, except where one is
// required.
type Options struct {
	// Config reaches the API server. Required.
	Config *rest.Config
	// Address is where reviews are answered, host:port. Required.
	Address string
	// MetricsAddress and HealthAddress are host:port, or "0" to not listen.
	// Required.
	MetricsAddress, HealthAddress string
	// CertDir has tls.crt and tls.key, which are read again when they change.
	// Required, unless there is SelfSigned.
	CertDir string
	// ClientCAs have signed the certificates of those who may ask for reviews: the API
	// server. Nil: everybody who reaches Address may.
	ClientCAs *x509.CertPool
	// SelfSigned makes the certificate, and leaves CertDir alone.
	SelfSigned *SelfSigned
	// Policies are in force in the place of the cluster's, which are not watched.
	Policies []*policies.PodPolicy
	// Fallback is in force while the cluster has no PodPolicy.
	Fallback []*policies.PodPolicy
	// Exceptions are in force beside Policies.
	Exceptions []*policies.PolicyException
	// ExceptionNamespaces are those that PolicyExceptions of the cluster count in.
	// Empty: policies.DefaultExceptionNamespace.
	ExceptionNamespaces []string
	// ExceptionWarning is how long before its end an exception is warned about: to
	// who applies what it covers, in its status and by an Event. Zero: not at all.
	ExceptionWarning time.Duration
	// Lease is the namespace and the name of the Lease by which replicas agree on the
	// one that writes the status of policies, and does what Lead says. Required.
	Lease types.NamespacedName
	// Registration is the namespace and the name of the ConfigMap that keeps the
	// webhook configurations as they are wanted: changes of them are undone. It must
	// exist and may be empty. Nil: nobody undoes them.
	Registration *types.NamespacedName
	// Registries says how registries are reached.
	Registries image.Config
	// Lock has digests that go before what registries say. Nil: none.
	Lock *lock.Lock
	// PullSecrets has registries asked with the pull secrets of a workload. The
	// service account must be allowed to read them.
	PullSecrets bool
	// ShutdownDelay is how long reviews are answered after ctx ends, while
	// endpoints and connections move to other replicas. Zero: not at all.
	ShutdownDelay time.Duration
	// Heartbeat is the namespace and the name of the Lease in which replicas note that
	// they are there, and HeartbeatInterval how often. Zero: never.
	Heartbeat         types.NamespacedName
	HeartbeatInterval time.Duration
	// Denied is the namespace and the name of the ConfigMap that replicas add the counts of
	// refused requests to, and DeniedInterval how often. Empty: they are not counted.
	Denied         types.NamespacedName
	DeniedInterval time.Duration
	// Lead makes more work for the replica that holds the Lease, which shares what
	// reviews are answered from and ends with its context. Nil: none.
	Lead func(Shared) func(context.Context)
	// AuditPage is served on AuditAddress, host:port. Nil: there is none.
	AuditPage    http.Handler
	AuditAddress string
	// Alerts takes what somebody outside should know now. Nil: nobody does.
	Alerts *cloudevents.Sink
	// Log takes what an admin should know. Required.
	Log *slog.Logger
}

// Shared is what reviews are answered from.
type Shared struct {
	Engine *engine.Engine
	// Policies are those in force with their exceptions, nil before they are loaded,
	// and a number that no other set of this process has.
	Policies func() (*policies.Set, int)
	// Stored are the PodPolicies of the cluster with their status, as they are known
	// here. Nil where policies come from files.
	Stored func() ([]*policies.PodPolicy, error)
	Images interface {
		Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
	}
	// Registries are what Images asks, in the place of the lock too.
	Registries *image.Registries
	// Scanned takes what a scan found by the set of policies of that number, by the
	// names of the policies, for their status.
	Scanned func(set int, counts map[string]policies.PolicyScan)
	// Leader is the name in the Lease of the replica that leads, empty while that is
	// not known.
	Leader func() string
}

func (o Options) exceptionNamespaces() []string {
	if len(o.ExceptionNamespaces) == 0 {
		return []string{policies.DefaultExceptionNamespace}
	}
	return o.ExceptionNamespaces
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// Rehearsal is what a webhook without a cluster answers from.
type Rehearsal struct {
	Policies *policies.Set
	// Namespaces are labels by the name of the namespace; reviews from another one
	// are refused, as with a cluster that does not know it.
	Namespaces map[string]map[string]string
	// Now is the time by which exceptions have ended. Nil: that of the clock.
	Now func() time.Time
	// Images answers what policies ask of registries.
	Images interface {
		Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
	}
}

// Handler answers reviews of workloads at MutatePath and ValidatePath exactly as
// Serve does.
func (r Rehearsal) Handler() (http.Handler, error) {
	core, err := engine.New()
	if err != nil {
		return nil, err
	}
	m := newMetrics(prometheus.NewRegistry())
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	a := &admission{
		engine: core, policies: func() *policies.Set { return r.Policies }, images: r.Images, metrics: m, log: log,
		namespaces: fixedNamespaces(r.Namespaces), now: r.Now,
	}
	if a.now == nil {
		a.now = time.Now
	}
	shared := newRoom()
	mux := http.NewServeMux()
	mux.Handle(MutatePath, &endpoint{name: "mutate", admit: a.mutate, metrics: m, log: log, draining: &atomic.Bool{}, room: shared})
	mux.Handle(ValidatePath, &endpoint{name: "validate", admit: a.validate, metrics: m, log: log, draining: &atomic.Bool{}, room: shared})
	return mux, nil
}

type fixedNamespaces map[string]map[string]string

// GetNamespace returns a namespace that is known from the start.
func (f fixedNamespaces) GetNamespace(_ context.Context, name string) (*corev1.Namespace, error) {
	labels, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("namespace %q is not known", name)
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, nil
}

// ReadReview reads the request of a stored AdmissionReview as the webhook does.
// Of its namespace only the name is known. The error says what is wrong with the
// review, or that no webhook of ours judges such a request.
func ReadReview(body []byte) (engine.Review, error) {
	req, err := decodeReview(body)
	if err != nil {
		return engine.Review{}, err
	}
	if req.Operation == "" {
		return engine.Review{}, errors.New("the request has no operation, which every request of an API server has")
	}
	if !isWorkload(req) || !judged(req) {
		return engine.Review{}, fmt.Errorf("the request is to %s %s, subresource %q, which is never judged", req.Operation, req.Resource.Resource, req.Subresource)
	}
	review, err := decodeObjects(req)
	if err != nil {
		return engine.Review{}, err
	}
	if req.Namespace == "" {
		return engine.Review{}, errors.New("the request has no namespace")
	}
	review.Namespace.Name = req.Namespace
	return review, nil
}

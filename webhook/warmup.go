package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

const (
	// warmPage is how many pods are listed at once.
	warmPage = 500
	// warmImages bounds the images that are asked for ahead of time.
	warmImages = 2000
)

// warmer answers needs ahead of time.
type warmer interface {
	Warm(ctx context.Context, needs []image.Need, who image.Credentials)
}

// warmUp asks, once after the start, what reviews of the pods that run now would
// ask. Otherwise the restart of a node, which creates hundreds of pods at once,
// would find the memory of a fresh replica empty and every registry busy with
// the same questions. Pull secrets are not used: nobody has asked for a pod.
type warmUp struct {
	pods      client.Reader
	admission *admission
	images    warmer
	log       *slog.Logger
}

// Start waits for the policies, runs the warm-up and returns. A failure costs
// time later, and nothing else.
func (w *warmUp) Start(ctx context.Context) error {
	loaded := func(context.Context) (bool, error) { return w.admission.policies() != nil, nil }
	if err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, loaded); err != nil {
		return nil // asked to stop
	}
	needs, err := w.needs(ctx)
	if err != nil {
		w.log.Warn("not warming up", "err", err)
		return nil
	}
	w.images.Warm(ctx, needs, image.Credentials{})
	w.log.Info("warmed up", "images", len(needs))
	return nil
}

// NeedLeaderElection makes every replica warm up.
func (w *warmUp) NeedLeaderElection() bool { return false }

// needs are the different needs of the pods that run.
func (w *warmUp) needs(ctx context.Context) ([]image.Need, error) {
	set := w.admission.policies()
	if !set.AsksRegistries() {
		return nil, nil
	}
	var needs []image.Need
	seen := map[image.Need]bool{}
	page := &corev1.PodList{}
	for {
		if err := w.pods.List(ctx, page, client.Limit(warmPage), client.Continue(page.Continue)); err != nil {
			return nil, fmt.Errorf("listing pods: %w", err)
		}
		for i := range page.Items {
			p := &page.Items[i]
			namespace, err := w.admission.namespaces.GetNamespace(ctx, p.Namespace)
			if err != nil {
				continue // it is going away
			}
			plan := w.admission.engine.Plan(engine.Review{
				Workload:  pod.FromPod(p),
				Namespace: engine.Namespace{Name: namespace.Name, Labels: namespace.Labels},
			}, set)
			for _, n := range append(plan.MutationNeeds(), plan.ValidationNeeds()...) {
				if !seen[n] && len(needs) < warmImages {
					seen[n] = true
					needs = append(needs, n)
				}
			}
		}
		if page.Continue == "" || len(needs) == warmImages {
			return needs, nil
		}
	}
}

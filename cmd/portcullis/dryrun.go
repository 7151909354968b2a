package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/input"
)

// dryRunManager owns the fields of a dry run. As nothing is stored, it never
// shows up in an object.
const dryRunManager = "portcullis-explain"

// dryRun asks a cluster what it would do with an object, without storing it.
type dryRun struct {
	client dynamic.Interface
	// warnings are those of the request under way.
	warnings *warningRecorder
}

func newDryRun(kubeconfig string) (*dryRun, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return dryRunWith(config)
}

func dryRunWith(config *rest.Config) (*dryRun, error) {
	warnings := &warningRecorder{}
	config.WarningHandler = warnings
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &dryRun{client: client, warnings: warnings}, nil
}

// clusterAnswer is what the cluster says.
type clusterAnswer struct {
	warnings []string
	err      error
}

// apply sends a server-side apply that is a dry run: it is a creation where the
// object is new and an update where it exists, as kubectl apply would make it.
func (r *dryRun) apply(ctx context.Context, d *input.Document, object []byte) clusterAnswer {
	kind := d.Workload.Kind
	resource := r.client.Resource(schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: kind.Resource})
	force := true
	options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: dryRunManager, Force: &force}
	r.warnings.take()
	var err error
	if d.Workload.Metadata.Name == "" {
		err = errors.New("it has no name, and only an object with a name can be asked about")
	} else {
		_, err = resource.Namespace(d.Namespace).Patch(ctx, d.Name, types.ApplyPatchType, object, options)
	}
	return clusterAnswer{warnings: r.warnings.take(), err: err}
}

// warningRecorder keeps the warnings of an API server.
type warningRecorder struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader keeps one warning.
func (w *warningRecorder) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// take returns what was kept, and forgets it.
func (w *warningRecorder) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

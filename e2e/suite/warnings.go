package suite

import (
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Warnings collects the warnings that kubectl would show.
type Warnings struct {
	mu   sync.Mutex
	list []string
}

// HandleWarningHeader makes it a rest.WarningHandler.
func (w *Warnings) HandleWarningHeader(code int, _, text string) {
	if code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// Take returns what was collected since the last call.
func (w *Warnings) Take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.list
	w.list = nil
	return taken
}

// NewClient is a cluster admin's client, which may be changed by edit, and the
// warnings that it gets.
func (c *Cluster) NewClient(t testing.TB, edit func(*rest.Config)) (client.Client, *Warnings) {
	t.Helper()
	warnings := &Warnings{}
	config := rest.CopyConfig(c.Config)
	config.WarningHandler = warnings
	if edit != nil {
		edit(config)
	}
	made, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made, warnings
}

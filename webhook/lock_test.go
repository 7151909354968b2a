package webhook

import (
	"strings"
	"testing"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
)

// TestLock pins by the lock, and asks no registry for what it has.
func TestLock(t *testing.T) {
	digest := "sha256:" + strings.Repeat("b", 64)
	l, err := lock.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: ImageLock\nimages:\n  docker.io/library/app:1: "+digest+"\n"), "portcullis.lock")
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWebhook(t)
	s := &server{options: Options{Lock: l}}
	w.admission.images = s.locked(image.New(image.Config{}, image.Options{}))
	response := post(t, w.mutate, podReview(safeSpec, nil))
	if want := "app:1@" + digest; !response.Allowed || !strings.Contains(string(response.Patch), want) {
		t.Errorf("got allowed %t and patch %s, want one with %s", response.Allowed, response.Patch, want)
	}
	if _, locked := (&server{}).locked(image.New(image.Config{}, image.Options{})).(*lock.Images); locked {
		t.Error("without a lock: got one in front of the registries, want none")
	}
}

package webhook

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/image"
)

// podPages lists pods in pages of one.
type podPages struct {
	client.Reader
	pods []corev1.Pod
}

func (p podPages) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	for _, option := range options {
		option.ApplyToList(&o)
	}
	i := len(o.Continue) // the token is as long as the number of pages before
	page := list.(*corev1.PodList)
	page.Items, page.Continue = p.pods[i:i+1], ""
	if i+1 < len(p.pods) {
		page.Continue = o.Continue + "x"
	}
	return nil
}

type warmed struct{ images []string }

func (w *warmed) Warm(_ context.Context, needs []image.Need, who image.Credentials) {
	for _, n := range needs {
		w.images = append(w.images, n.Image)
	}
	if who.Namespace != "" {
		w.images = append(w.images, "with the secrets of "+who.Namespace)
	}
}

func TestWarmUp(t *testing.T) {
	running := func(namespace, image string) corev1.Pod {
		p := corev1.Pod{}
		p.Namespace = namespace
		p.Spec.Containers = []corev1.Container{{Name: "app", Image: image}}
		return p
	}
	pods := podPages{pods: []corev1.Pod{running("web", "a:1"), running("gone", "b:1"), running("web", "a:1"), running("kube-system", "c:1"), running("labelled", "d:1")}}
	var got warmed
	w := &warmUp{pods: pods, admission: newTestWebhook(t).admission, images: &got, log: slog.New(slog.DiscardHandler)}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a:1", "d:1"}; !slices.Equal(got.images, want) {
		t.Errorf("got %q asked for, want %q: each once, and only what a policy asks for", got.images, want)
	}
}

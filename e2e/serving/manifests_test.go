package serving_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var manifests = filepath.Join("..", "..", "manifests")

// foreign are the groups of kinds that somebody else installs. The suite on kind
// has those of cert-manager.
var foreign = []string{"cert-manager.io", "monitoring.coreos.com"}

// TestManifestsAccepted applies what ships to an API server that stores nothing of
// it and refuses fields that it does not know: every overlay, and an installation
// with every component.
func TestManifestsAccepted(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	folders, err := filepath.Glob(filepath.Join(manifests, "overlays", "*"))
	if err != nil || len(folders) < 4 {
		t.Fatalf("got overlays %v (%v), want four and more", folders, err)
	}
	accepted := map[string]bool{}
	for _, folder := range append(folders, everything(t)) {
		objects, err := harness.Render(folder)
		if err != nil {
			t.Fatal(err)
		}
		for kind := range acceptedOf(t, c, filepath.Base(folder), objects) {
			accepted[kind] = true
		}
	}
	for _, kind := range []string{"Deployment", "PodDisruptionBudget", "PriorityClass", "NetworkPolicy", "ConfigMap", "ValidatingWebhookConfiguration"} {
		if !accepted[kind] {
			t.Errorf("no %s was tried: the test proves nothing", kind)
		}
	}
}

// everything is a kustomization with every component.
func everything(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := "components:\n"
	components, err := filepath.Glob(filepath.Join(manifests, "components", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append([]string{filepath.Join(manifests, "base")}, components...) {
		absolute, err := filepath.Abs(folder)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(dir, absolute)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(folder) == "base" {
			text = "resources:\n- " + relative + "\n" + text
			continue
		}
		text += "- " + relative + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// acceptedOf counts, by kind, what an API server has been asked to take of what ships.
// It has to take it, unless somebody else's kinds are not there.
func acceptedOf(t *testing.T, c *suite.Cluster, what string, objects []*unstructured.Unstructured) map[string]int {
	t.Helper()
	accepted := map[string]int{}
	for _, object := range objects {
		gvk := object.GroupVersionKind()
		err := dryRun(t.Context(), c, object)
		if slices.Contains(foreign, gvk.Group) && meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %s %s: %v", what, gvk.Kind, object.GetName(), err)
		}
		accepted[gvk.Kind]++
	}
	return accepted
}

// dryRun applies an object with strict validation, and nothing is stored.
func dryRun(ctx context.Context, c *suite.Cluster, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := c.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	live, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = live.Resource(mapping.Resource).Namespace(object.GetNamespace()).Patch(ctx, object.GetName(), "application/apply-patch+yaml", data,
		metav1.PatchOptions{FieldManager: "e2e", Force: &force, DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// TestF28Uninstall deletes an installation object by object, in orders that chance
// decides. All the time a pod is refused only while the validating configuration is
// there, and in the end everything is gone, so that it can be installed again.
func TestF28Uninstall(t *testing.T) {
	t.Parallel()
	own, err := harness.Up(t.Context(), harness.Options{Unregistered: true, Controllers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Down(); err != nil {
			t.Error(err)
		}
	})
	objects, err := harness.Render(filepath.Join(manifests, "overlays", "high-availability"))
	if err != nil {
		t.Fatal(err)
	}
	const tenant = "default"
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 4 {
		for _, object := range objects {
			suite.Eventually(t, time.Minute, func() error { return apply(t.Context(), own, object) }) // the namespace may still be going
		}
		// By its Service, behind which nobody is.
		suite.Eventually(t, suite.Soon, func() error { return wantTaken(t.Context(), own, tenant, false) })
		order := slices.Clone(objects)
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var done []string
		free := false
		for _, object := range order {
			if err := own.Client.Delete(t.Context(), object.DeepCopy()); client.IgnoreNotFound(err) != nil {
				t.Fatalf("round %d: after %v: deleting %s: %v", round, done, object.GetKind(), err)
			}
			done = append(done, object.GetKind())
			free = free || object.GetKind() == "ValidatingWebhookConfiguration"
			suite.Eventually(t, suite.Soon, func() error { return wantTaken(t.Context(), own, tenant, free) })
		}
		for _, object := range objects {
			suite.Eventually(t, time.Minute, func() error {
				err := own.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy())
				if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
					return nil
				}
				return fmt.Errorf("round %d: %s %s is still there (%w)", round, object.GetKind(), object.GetName(), err)
			})
		}
	}
}

// apply makes the API server have an object.
func apply(ctx context.Context, c *harness.Cluster, object *unstructured.Unstructured) error {
	err := c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("e2e"), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// wantTaken requires that a pod is taken, or refused for want of somebody to ask.
func wantTaken(ctx context.Context, c *harness.Cluster, namespace string, taken bool) error {
	err := c.Client.Create(ctx, suite.Pod.New(namespace, "probe", suite.GoodSpec()), client.DryRunAll)
	if taken && err != nil {
		return fmt.Errorf("creating a pod: %w", err)
	}
	if !taken && (err == nil || !strings.Contains(err.Error(), "failed calling webhook")) {
		return fmt.Errorf("creating a pod: got %v, want a refusal because nobody answers", err)
	}
	return nil
}

// TestScaleToZero holds that a server that stops does not take its registration
// with it: without replicas nothing that nobody has judged is stored.
func TestScaleToZero(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	s, err := c.Serve(t.Context(), harness.ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	if err := c.Register(t.Context(), s.Endpoint); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error { return wantTaken(t.Context(), c.Cluster, namespace, true) })
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error { return wantTaken(t.Context(), c.Cluster, namespace, false) })
}

// TestF01AwayMetrics holds that the API server counts what it could not ask about
// under the names that the alerts look for.
func TestF01AwayMetrics(t *testing.T) {
	c := cluster.Cluster(t)
	away(t, c)
	text, err := c.Clientset.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="validate.portcullis.dev",`,
		`apiserver_admission_webhook_fail_open_count{name="mutate.portcullis.dev",`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the API server has no metric %s...", want)
		}
	}
}

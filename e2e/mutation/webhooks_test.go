package mutation_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// anotherWebhook registers a mutating webhook for the pods of a namespace, which is
// called after ours, by its name, and again when another has changed something.
func anotherWebhook(t *testing.T, c *suite.Cluster, namespace string, edit func(*corev1.Pod)) {
	t.Helper()
	dir := t.TempDir()
	if _, err := c.Authority.Issue(dir); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, edit) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		if err := server.ServeTLS(listener, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { _ = server.Close() })
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "zz-" + namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:         "another.example.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + listener.Addr().String() + "/"), CABundle: c.Authority.PEM},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			ReinvocationPolicy:      ptr.To(admissionregistrationv1.IfNeededReinvocationPolicy),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	create(t, c, configuration)
	t.Cleanup(func() { _ = c.Client.Delete(context.Background(), configuration) })
}

// answer edits the pod under review and answers with the whole of its spec.
func answer(w http.ResponseWriter, r *http.Request, edit func(*corev1.Pod)) {
	var review admissionv1.AdmissionReview
	var pod corev1.Pod
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	edit(&pod)
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": pod.Spec}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{
		UID: review.Request.UID, Allowed: true, Patch: patch, PatchType: ptr.To(admissionv1.PatchTypeJSONPatch),
	}
	review.Request = nil
	_ = json.NewEncoder(w).Encode(review)
}

// TestHostileWebhook has another webhook take away what ours has set, each time: the
// checks say so, and nothing is stored.
func TestHostileWebhook(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, everything+`
validate:
  digests: {}
  rootUser: {}
  probes: {require: [readiness]}
  podSecurity: {level: restricted}
  logging: {mode: Enforce, require: [environment, terminationMessagePolicy]}
`)
	made := create(t, c, suite.Pod.New(namespace, "before", shop(shopImage)).(*corev1.Pod))
	wantMutated(t, c, made)

	anotherWebhook(t, c, namespace, func(pod *corev1.Pod) {
		container := &pod.Spec.Containers[0]
		container.Image, _, _ = strings.Cut(container.Image, "@")
		container.ReadinessProbe, container.SecurityContext = nil, nil
		container.Env, container.TerminationMessagePolicy = nil, corev1.TerminationMessageReadFile
	})
	suite.Eventually(t, suite.Soon, func() error {
		err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "after", shop(shopImage)), client.DryRunAll)
		if err == nil {
			return errors.New("the pod is admitted, want a refusal")
		}
		for _, part := range []string{
			`validate.portcullis.dev" denied the request`, "podSecurity/runAsNonRoot", "podSecurity/capabilities_restricted", "digests",
			"spec.containers[0].readinessProbe", "PYTHONUNBUFFERED", "spec.containers[0].terminationMessagePolicy",
		} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("got %v, want it to name %q", err, part)
			}
		}
		return nil
	})
}

// TestBenignWebhook has another webhook add a sidecar, as meshes do, after ours has
// seen the pod: ours is called again, and the sidecar is as the rest.
func TestBenignWebhook(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, everything+"validate: {digests: {}, podSecurity: {level: restricted}}\n")
	var calls atomic.Int64
	anotherWebhook(t, c, namespace, func(pod *corev1.Pod) {
		calls.Add(1)
		for _, container := range pod.Spec.Containers {
			if container.Name == "mesh" {
				return
			}
		}
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "mesh", Image: sidecarImage})
	})
	var pod *corev1.Pod
	suite.Eventually(t, suite.Soon, func() error {
		pod = suite.Pod.New(namespace, "shop", shop(shopImage)).(*corev1.Pod)
		if err := c.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			return err
		}
		if len(pod.Spec.Containers) != 2 {
			return errors.New("the other webhook is not called yet")
		}
		return nil
	})
	wantMutated(t, c, pod)
	mesh := pod.Spec.Containers[1]
	if mesh.Image != c.Registry.Pinned(sidecarImage) || mesh.SecurityContext == nil || mesh.SecurityContext.RunAsUser == nil || mesh.ReadinessProbe == nil {
		t.Errorf("got sidecar %+v, want it pinned, hardened and probed", mesh)
	}
	again := pod.DeepCopy()
	again.ResourceVersion, again.UID = "", ""
	if err := c.Client.Create(t.Context(), again, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	requireContained(t, "what came out, sent again", pod.Spec, again.Spec)
	requireContained(t, "what came out, sent again", again.Spec, pod.Spec)
	if got := calls.Load(); got < 2 {
		t.Errorf("got %d calls of the other webhook, want it called again", got)
	}
}

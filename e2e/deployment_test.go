package e2e_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	psapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"
)

// TestOwnPods holds our own pods to what a rolling update needs, and to the Pod
// Security Standard that our namespace enforces.
func TestOwnPods(t *testing.T) { eachOverlay(t, testOwnPods) }

func testOwnPods(t *testing.T, objects []*unstructured.Unstructured) {
	deployment := find[appsv1.Deployment](t, objects, "Deployment")
	spec := deployment.Spec.Template.Spec
	const shutdownDelay = 10 // seconds, the default of --shutdown-delay
	if got := *spec.TerminationGracePeriodSeconds; got < 2*shutdownDelay {
		t.Errorf("terminationGracePeriodSeconds: got %d, want %d and more", got, 2*shutdownDelay)
	}
	if got := deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.String(); got != "0" {
		t.Errorf("maxUnavailable: got %s, want 0", got)
	}
	if got := ptr.Deref(deployment.Spec.Replicas, 1); got < 2 {
		t.Errorf("replicas: got %d, want 2 and more", got)
	}
	if !ptr.Deref(spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem, false) {
		t.Error("readOnlyRootFilesystem is not true")
	}
	namespace := find[corev1.Namespace](t, objects, "Namespace")
	if got := namespace.Labels[psapi.EnforceLevelLabel]; got != string(psapi.LevelRestricted) {
		t.Errorf("our namespace enforces %q, want restricted", got)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psapi.LevelVersion{Level: psapi.LevelRestricted, Version: psapi.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &deployment.Spec.Template.ObjectMeta, &spec) {
		if !result.Allowed {
			t.Errorf("our own pods are not restricted: %s %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

// TestHighAvailability holds that a node, a drain or a full cluster does not take
// all replicas at once.
func TestHighAvailability(t *testing.T) {
	for _, overlay := range []string{"high-availability", "high-availability-cert-manager"} {
		objects := render(t, filepath.Join(manifests, "overlays", overlay))
		deployment := find[appsv1.Deployment](t, objects, "Deployment")
		budget := find[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")
		class := find[schedulingv1.PriorityClass](t, objects, "PriorityClass")
		pods := deployment.Spec.Template
		if got := *deployment.Spec.Replicas; got != 3 {
			t.Errorf("%s: got %d replicas, want 3", overlay, got)
		}
		if budget.Spec.MaxUnavailable.String() != "1" || !cmp.Equal(budget.Spec.Selector, deployment.Spec.Selector) {
			t.Errorf("%s: got a budget of %s for %v, want 1 for the pods of the Deployment", overlay, budget.Spec.MaxUnavailable, budget.Spec.Selector)
		}
		if pods.Spec.PriorityClassName != class.Name {
			t.Errorf("%s: got priority class %q, want %q", overlay, pods.Spec.PriorityClassName, class.Name)
		}
		if len(pods.Spec.TopologySpreadConstraints) != 2 {
			t.Fatalf("%s: got %d spread constraints, want one for nodes and one for zones", overlay, len(pods.Spec.TopologySpreadConstraints))
		}
		for _, spread := range pods.Spec.TopologySpreadConstraints {
			if !cmp.Equal(spread.LabelSelector, deployment.Spec.Selector) {
				t.Errorf("%s: spreads %v, want the pods of the Deployment", overlay, spread.LabelSelector)
			}
		}
	}
}

// TestCertManager holds that what cert-manager is told fits what is served and who
// is trusted: the names, the Secrets, and an authority that outlives what it signs.
func TestCertManager(t *testing.T) {
	objects := render(t, filepath.Join(manifests, "overlays", "cert-manager"))
	byName := map[string]*unstructured.Unstructured{}
	for _, object := range objects {
		byName[object.GetKind()+" "+object.GetName()] = object
	}
	text := func(object string, path ...string) string {
		t.Helper()
		value, _, err := unstructured.NestedString(byName[object].Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	service := find[corev1.Service](t, objects, "Service")
	deployment := find[appsv1.Deployment](t, objects, "Deployment")
	dnsNames, _, err := unstructured.NestedStringSlice(byName["Certificate portcullis"].Object, "spec", "dnsNames")
	if err != nil || !slices.Equal(dnsNames, []string{service.Name + "." + service.Namespace + ".svc"}) {
		t.Errorf("dnsNames: got %v (%v), want those of the Service", dnsNames, err)
	}
	if got := deployment.Spec.Template.Spec.Volumes[0].Secret.SecretName; got != text("Certificate portcullis", "spec", "secretName") {
		t.Errorf("the pods mount %q, want the Secret of the Certificate", got)
	}
	if got := deployment.Spec.Template.Spec.Containers[0].Args; !slices.Equal(got, []string{"serve", "--guard-registration=portcullis-system/portcullis-registration"}) {
		t.Errorf("args: got %v, want serve without --self-signed", got)
	}
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		want := service.Namespace + "/" + byName["Certificate portcullis"].GetName()
		if got := byName[kind+" portcullis"].GetAnnotations()["cert-manager.io/inject-ca-from"]; got != want {
			t.Errorf("%s: got the authority of %q, want that of %q", kind, got, want)
		}
	}
	if got := text("Issuer portcullis", "spec", "ca", "secretName"); got != text("Certificate portcullis-ca", "spec", "secretName") {
		t.Errorf("the issuer signs with %q, want the authority", got)
	}
	if got := text("Certificate portcullis-ca", "spec", "privateKey", "rotationPolicy"); got != "Never" {
		t.Errorf("the authority's key: got rotationPolicy %q, want Never, or what it has signed is not trusted any more", got)
	}
	lasts := func(object, field string) time.Duration {
		d, err := time.ParseDuration(text(object, "spec", field))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if lasts("Certificate portcullis-ca", "renewBefore") <= lasts("Certificate portcullis", "duration") {
		t.Error("the authority is renewed so late that a certificate may outlive it")
	}
}

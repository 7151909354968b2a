// Package e2e_test checks the manifests without a cluster: what they register, what
// they may do, and that the names in them are the ones that `portcullis serve`
// goes by.
package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

func base(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := harness.Render(filepath.Join("..", "manifests", "base"))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// find decodes the one object of its kind, and refuses fields that it has not.
func find[T any](t *testing.T, kind string) T {
	t.Helper()
	var found []T
	for _, object := range base(t) {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		found = append(found, typed)
	}
	if len(found) != 1 {
		t.Fatalf("got %d objects of kind %s, want 1", len(found), kind)
	}
	return found[0]
}

func TestBaseRenders(t *testing.T) {
	var got []string
	for _, object := range base(t) {
		got = append(got, object.GetKind()+" "+strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
	}
	slices.Sort(got)
	want := []string{
		"ClusterRole portcullis",
		"ClusterRoleBinding portcullis",
		"CustomResourceDefinition podpolicies.portcullis.dev",
		"Deployment portcullis-system/portcullis",
		"MutatingWebhookConfiguration portcullis",
		"Namespace portcullis-system",
		"Role portcullis-system/portcullis",
		"RoleBinding portcullis-system/portcullis",
		"Secret portcullis-system/portcullis-certificate",
		"Service portcullis-system/portcullis",
		"ServiceAccount portcullis-system/portcullis",
		"ValidatingWebhookConfiguration portcullis",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifests/base (-want +got):\n%s", diff)
	}
}

// webhook is what both kinds of webhooks have.
type webhook struct {
	name, path   string
	failure      admissionv1.FailurePolicyType
	sideEffects  admissionv1.SideEffectClass
	match        admissionv1.MatchPolicyType
	seconds      int32
	conditions   int
	rules        []admissionv1.RuleWithOperations
	namespaces   *metav1.LabelSelector
	objects      *metav1.LabelSelector
	versions     []string
	reinvocation admissionv1.ReinvocationPolicyType
}

func webhooks(t *testing.T) []webhook {
	t.Helper()
	var all []webhook
	for _, w := range find[admissionv1.MutatingWebhookConfiguration](t, "MutatingWebhookConfiguration").Webhooks {
		all = append(all, webhook{
			w.Name, *w.ClientConfig.Service.Path, *w.FailurePolicy, *w.SideEffects, *w.MatchPolicy, *w.TimeoutSeconds,
			len(w.MatchConditions), w.Rules, w.NamespaceSelector, w.ObjectSelector, w.AdmissionReviewVersions, *w.ReinvocationPolicy,
		})
	}
	for _, w := range find[admissionv1.ValidatingWebhookConfiguration](t, "ValidatingWebhookConfiguration").Webhooks {
		all = append(all, webhook{
			w.Name, *w.ClientConfig.Service.Path, *w.FailurePolicy, *w.SideEffects, *w.MatchPolicy, *w.TimeoutSeconds,
			len(w.MatchConditions), w.Rules, w.NamespaceSelector, w.ObjectSelector, w.AdmissionReviewVersions, "",
		})
	}
	return all
}

// TestRegistration compares what is registered with the nine kinds. T06, T21, T27.
func TestRegistration(t *testing.T) {
	kinds := []string{"/v1/pods/ephemeralcontainers UPDATE"}
	for _, kind := range suite.Kinds() {
		kinds = append(kinds, kind.Group+"/v1/"+kind.Resource+" CREATE", kind.Group+"/v1/"+kind.Resource+" UPDATE")
	}
	want := map[string]struct {
		path, failure, reinvocation string
		requests                    []string
	}{
		"mutate.portcullis.dev":     {"/mutate", "Ignore", "IfNeeded", kinds},
		"validate.portcullis.dev":   {"/validate", "Fail", "", append(slices.Clone(kinds), "/v1/pods/resize UPDATE")},
		"namespaces.portcullis.dev": {"/validate", "Fail", "", []string{"/v1/namespaces CREATE", "/v1/namespaces UPDATE"}},
		"policies.portcullis.dev": {"/validate", "Fail", "", []string{
			"portcullis.dev/v1alpha1/podpolicies CREATE", "portcullis.dev/v1alpha1/podpolicies UPDATE",
		}},
	}
	byName := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system", harness.SystemNamespace},
	}}}
	all := webhooks(t)
	if got := len(all); got != len(want) {
		t.Errorf("got %d webhooks, want %d", got, len(want))
	}
	for _, w := range all {
		expected := want[w.name]
		got := []string{w.path, string(w.failure), string(w.reinvocation), string(w.sideEffects), string(w.match)}
		if diff := cmp.Diff([]string{expected.path, expected.failure, expected.reinvocation, "None", "Equivalent"}, got); diff != "" {
			t.Errorf("%s: path, failure policy, reinvocation, side effects, match policy (-want +got):\n%s", w.name, diff)
		}
		requests := requestsOf(t, w)
		slices.Sort(expected.requests)
		if diff := cmp.Diff(expected.requests, requests); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", w.name, diff)
		}
		inNamespaces := byName
		if w.name == "policies.portcullis.dev" {
			inNamespaces = nil // they are in none
		}
		if diff := cmp.Diff(inNamespaces, w.namespaces); diff != "" {
			t.Errorf("%s: namespaceSelector (-want +got):\n%s", w.name, diff)
		}
		if w.objects != nil || w.conditions > 0 {
			t.Errorf("%s: has an objectSelector or matchConditions, with which an object could choose not to be judged", w.name)
		}
		if w.seconds > 5 || !slices.Equal(w.versions, []string{"v1"}) {
			t.Errorf("%s: got timeoutSeconds %d and versions %q, want at most 5 and v1", w.name, w.seconds, w.versions)
		}
	}
}

// requestsOf lists what a webhook is registered for, one by one.
func requestsOf(t *testing.T, w webhook) []string {
	t.Helper()
	var requests []string
	for _, rule := range w.rules {
		for _, group := range rule.APIGroups {
			for _, version := range rule.APIVersions {
				for _, resource := range rule.Resources {
					for _, operation := range rule.Operations {
						requests = append(requests, fmt.Sprintf("%s/%s/%s %s", group, version, resource, operation))
					}
				}
			}
		}
	}
	for _, request := range requests {
		if strings.Contains(request, "*") {
			t.Errorf("%s: %s names everything", w.name, request)
		}
	}
	slices.Sort(requests)
	return requests
}

// TestRights holds the ClusterRole and the Role to what the comments in them say.
func TestRights(t *testing.T) {
	cluster := find[rbacv1.ClusterRole](t, "ClusterRole").Rules
	own := find[rbacv1.Role](t, "Role").Rules
	for _, rule := range slices.Concat(cluster, own) {
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
			if strings.Contains(word, "*") {
				t.Errorf("the rule %v names everything", rule)
			}
		}
		if slices.Contains(rule.Verbs, "update") && !slices.Equal(rule.ResourceNames, []string{"portcullis"}) &&
			!slices.Equal(rule.ResourceNames, []string{"portcullis-certificate"}) {
			t.Errorf("the rule %v changes more than our own objects", rule)
		}
		for _, verb := range []string{"create", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate"} {
			if slices.Contains(rule.Verbs, verb) {
				t.Errorf("the rule %v has the verb %s", rule, verb)
			}
		}
	}
	for _, rule := range cluster {
		if slices.Contains(rule.Resources, "secrets") {
			t.Errorf("the ClusterRole reads secrets of every namespace: %v", rule)
		}
	}
}

// TestNames compares the manifests with the defaults of `portcullis serve`.
func TestNames(t *testing.T) {
	binary, err := harness.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), binary, "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, flag := range regexp.MustCompile(`(?m)^\s+--(\S+) .*\(default (.*)\)$`).FindAllStringSubmatch(string(output), -1) {
		defaults[flag[1]] = strings.Trim(flag[2], `[]"`)
	}
	service := find[corev1.Service](t, "Service")
	secret := find[corev1.Secret](t, "Secret")
	ports := map[string]int32{}
	container := find[appsv1.Deployment](t, "Deployment").Spec.Template.Spec.Containers[0]
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	got := map[string]string{
		"secret":          secret.Namespace + "/" + secret.Name,
		"dns-names":       service.Name + "." + service.Namespace + ".svc",
		"address":         fmt.Sprintf(":%d", ports[service.Spec.Ports[0].TargetPort.String()]),
		"health-address":  fmt.Sprintf(":%d", ports[container.ReadinessProbe.HTTPGet.Port.String()]),
		"cert-dir":        container.VolumeMounts[0].MountPath,
		"metrics-address": fmt.Sprintf(":%d", ports["metrics"]),
	}
	for flag, value := range got {
		if want := defaults[flag]; value != want {
			t.Errorf("--%s: got %q in the manifests, want the default %q", flag, value, want)
		}
	}
}

// TestOwnPods holds our own pods to what a rolling update needs. That they pass
// restricted is TestOwnDeployment of e2e/admission.
func TestOwnPods(t *testing.T) {
	deployment := find[appsv1.Deployment](t, "Deployment")
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
}

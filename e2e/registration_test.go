package e2e_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// webhook is what both kinds of webhooks have.
type webhook struct {
	name, path   string
	failure      admissionv1.FailurePolicyType
	sideEffects  admissionv1.SideEffectClass
	match        admissionv1.MatchPolicyType
	seconds      int32
	conditions   []admissionv1.MatchCondition
	rules        []admissionv1.RuleWithOperations
	namespaces   *metav1.LabelSelector
	objects      *metav1.LabelSelector
	versions     []string
	reinvocation admissionv1.ReinvocationPolicyType
}

func webhooks(t *testing.T, objects []*unstructured.Unstructured) []webhook {
	t.Helper()
	var list []webhook
	for _, w := range find[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks {
		list = append(list, webhook{
			w.Name, *w.ClientConfig.Service.Path, *w.FailurePolicy, *w.SideEffects, *w.MatchPolicy, *w.TimeoutSeconds,
			w.MatchConditions, w.Rules, w.NamespaceSelector, w.ObjectSelector, w.AdmissionReviewVersions, *w.ReinvocationPolicy,
		})
	}
	for _, w := range find[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks {
		list = append(list, webhook{
			w.Name, *w.ClientConfig.Service.Path, *w.FailurePolicy, *w.SideEffects, *w.MatchPolicy, *w.TimeoutSeconds,
			w.MatchConditions, w.Rules, w.NamespaceSelector, w.ObjectSelector, w.AdmissionReviewVersions, "",
		})
	}
	return list
}

// TestRegistration compares what is registered with the nine kinds. T06, T21, T27.
func TestRegistration(t *testing.T) { eachOverlay(t, testRegistration) }

func testRegistration(t *testing.T, objects []*unstructured.Unstructured) {
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
			"portcullis.dev/v1alpha1/policyexceptions CREATE", "portcullis.dev/v1alpha1/policyexceptions UPDATE",
		}},
	}
	// Each is about two states of an object, and not about what one claims. What
	// they let pass is TestF01Away and its siblings in e2e/serving.
	conditions := map[string][]string{
		"mutate.portcullis.dev":     {"changes-what-runs"},
		"validate.portcullis.dev":   {"changes-what-runs"},
		"namespaces.portcullis.dev": {"has-pod-security-labels", "changes-labels"},
	}
	byName := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system", harness.SystemNamespace},
	}}}
	list := webhooks(t, objects)
	if got, want := len(list), len(want)+1; got != want { // one is in both configurations
		t.Errorf("got %d webhooks, want %d", got, want)
	}
	for _, w := range list {
		expected := want[w.name]
		if w.name == "policies.portcullis.dev" && w.reinvocation != "" {
			expected.failure, expected.reinvocation = "Ignore", "Never" // for its words; the validating one holds
		}
		sideEffects := "None"
		if w.name == "validate.portcullis.dev" {
			sideEffects = "NoneOnDryRun" // breaking the glass is recorded
		}
		got := []string{w.path, string(w.failure), string(w.reinvocation), string(w.sideEffects), string(w.match)}
		if diff := cmp.Diff([]string{expected.path, expected.failure, expected.reinvocation, sideEffects, "Equivalent"}, got); diff != "" {
			t.Errorf("%s: path, failure policy, reinvocation, side effects, match policy (-want +got):\n%s", w.name, diff)
		}
		requests := requestsOf(t, w)
		slices.Sort(expected.requests)
		if diff := cmp.Diff(expected.requests, requests); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", w.name, diff)
		}
		inNamespaces := byName
		if w.name == "policies.portcullis.dev" {
			inNamespaces = nil // policies are in none, and exceptions in our own
		}
		if diff := cmp.Diff(inNamespaces, w.namespaces); diff != "" {
			t.Errorf("%s: namespaceSelector (-want +got):\n%s", w.name, diff)
		}
		if w.objects != nil {
			t.Errorf("%s: has an objectSelector, with which an object could choose not to be judged", w.name)
		}
		if diff := cmp.Diff(conditions[w.name], conditionNames(w)); diff != "" {
			t.Errorf("%s: matchConditions (-want +got):\n%s", w.name, diff)
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

func conditionNames(w webhook) []string {
	var list []string
	for _, condition := range w.conditions {
		list = append(list, condition.Name)
	}
	return list
}

// TestConditionsAgree holds that the mutating webhook is called for the same
// requests as the validating one: what is judged has been repaired before.
func TestConditionsAgree(t *testing.T) {
	expressions := map[string]string{}
	for _, w := range webhooks(t, render(t, filepath.Join(manifests, "base"))) {
		for _, condition := range w.conditions {
			expressions[w.name] = condition.Expression
		}
	}
	if diff := cmp.Diff(expressions["validate.portcullis.dev"], expressions["mutate.portcullis.dev"]); diff != "" {
		t.Errorf("the condition (-validating +mutating):\n%s", diff)
	}
}

package vap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

const (
	podVariable = "pod"
	// podTemplate is the metadata and spec of the pods, wherever a kind has them.
	podTemplate = "request.kind.kind == 'Pod' ? object : request.kind.kind == 'CronJob' ? object.spec.jobTemplate.spec.template : " +
		"request.kind.kind == 'PodTemplate' ? object.template : object.spec.template"
	// changesWhatRuns leaves out updates that nothing is judged for, and is what
	// pod.SameTemplate says.
	changesWhatRuns = "request.operation != 'UPDATE' || (request.kind.kind == 'Pod' ? object.spec != oldObject.spec : " +
		"request.kind.kind == 'CronJob' ? object.spec.jobTemplate.spec.template != oldObject.spec.jobTemplate.spec.template : " +
		"request.kind.kind == 'PodTemplate' ? object.template != oldObject.template : " +
		"object.spec.?template != oldObject.spec.?template)"
	// hasTemplate leaves out what can make no pods.
	hasTemplate = "request.kind.kind != 'ReplicationController' || has(object.spec.template)"
)

// systemNamespaces are those that the webhook is not registered for either.
var systemNamespaces = []string{"kube-system", "portcullis-system"}

// conditions say where the policy applies. An extra one may be empty.
func (e *exporter) conditions(extra string) []admissionv1.MatchCondition {
	match := &e.policy.Spec.Match
	conditions := []admissionv1.MatchCondition{
		{Name: "changes-what-runs", Expression: changesWhatRuns},
		{Name: "has-template", Expression: hasTemplate},
	}
	if len(match.Namespaces) > 0 {
		conditions = append(conditions, admissionv1.MatchCondition{Name: "namespaces", Expression: inNamespaces(match.Namespaces)})
	}
	if len(match.ExcludeNamespaces) > 0 {
		conditions = append(conditions, admissionv1.MatchCondition{Name: "exclude-namespaces", Expression: "!(" + inNamespaces(match.ExcludeNamespaces) + ")"})
	}
	if extra != "" {
		conditions = append(conditions, admissionv1.MatchCondition{Name: "mode", Expression: extra})
	}
	return conditions
}

// inNamespaces is an expression for whether the namespace has one of the names, or
// matches one of the globs.
func inNamespaces(globs []string) string { return matchesGlobs("request.namespace", globs) }

func matchesGlobs(value string, globs []string) string {
	var exact, patterns []string
	for _, g := range globs {
		if !strings.Contains(g, "*") {
			exact = append(exact, g)
			continue
		}
		patterns = append(patterns, strings.ReplaceAll(regexp.QuoteMeta(g), `\*`, ".*"))
	}
	var parts []string
	if len(exact) > 0 {
		parts = append(parts, fmt.Sprintf("%s in %s", value, list(exact)))
	}
	if len(patterns) > 0 {
		parts = append(parts, fmt.Sprintf("%s.matches(%s)", value, quote("^("+strings.Join(patterns, "|")+")$")))
	}
	return strings.Join(parts, " || ")
}

// namespaceSelector is that of the policy, without the namespaces of the system.
func (e *exporter) namespaceSelector() *metav1.LabelSelector {
	selector := e.policy.Spec.Match.NamespaceSelector.DeepCopy()
	if selector == nil {
		selector = &metav1.LabelSelector{}
	}
	selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: systemNamespaces,
	})
	return selector
}

// resources are the kinds as rules name them, by group. It is never changed.
var resources = []struct {
	group string
	names map[policies.WorkloadKind]string
}{
	{"", map[policies.WorkloadKind]string{
		policies.KindPod: "pods", policies.KindReplicationController: "replicationcontrollers", policies.KindPodTemplate: "podtemplates",
	}},
	{"apps", map[policies.WorkloadKind]string{
		policies.KindDeployment: "deployments", policies.KindReplicaSet: "replicasets", policies.KindStatefulSet: "statefulsets", policies.KindDaemonSet: "daemonsets",
	}},
	{"batch", map[policies.WorkloadKind]string{policies.KindJob: "jobs", policies.KindCronJob: "cronjobs"}},
}

func resourceRules(kinds []policies.WorkloadKind) []admissionv1.NamedRuleWithOperations {
	scope := admissionv1.NamespacedScope
	rule := func(group string, names []string, operations ...admissionv1.OperationType) admissionv1.NamedRuleWithOperations {
		return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: operations,
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: names, Scope: &scope},
		}}
	}
	var rules []admissionv1.NamedRuleWithOperations
	for _, r := range resources {
		var names []string
		for _, kind := range kinds {
			if name := r.names[kind]; name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			rules = append(rules, rule(r.group, names, admissionv1.Create, admissionv1.Update))
		}
	}
	if slices.Contains(kinds, policies.KindPod) {
		rules = append(rules, rule("", []string{"pods/ephemeralcontainers", "pods/resize"}, admissionv1.Update))
	}
	return rules
}

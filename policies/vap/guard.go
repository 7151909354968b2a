package vap

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Guard says who may change what Portcullis goes by, whatever RBAC allows.
type Guard struct {
	// Namespace is where Portcullis is installed.
	Namespace string
	// ExceptionNamespaces are those that PolicyExceptions count in: who may write
	// them there is for RBAC to say.
	ExceptionNamespaces []string
	// Groups and Users may, by their exact names. Components of Kubernetes and
	// Portcullis itself always may: see componentGroups.
	Groups, Users []string
}

// componentGroups and componentUsers are what a cluster does not work without:
// controllers, nodes and schedulers change the pods of every namespace, and their
// Events are in it. A tenant is none of them, since he gets no name that begins with
// system: but that of a service account of his namespace.
var (
	componentGroups = []string{"system:serviceaccounts:kube-system", "system:nodes"}
	componentUsers  = []string{"system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"}
)

// ExportGuard writes the rules that hold tenants off Portcullis. What they cannot
// hold is the webhook configurations and themselves: the API server asks no
// admission about those.
func ExportGuard(g Guard) *Exported {
	out := &Exported{}
	add := func(name string, rules []admissionv1.NamedRuleWithOperations, selector *metav1.LabelSelector, validations ...admissionv1.Validation) {
		meta := metav1.ObjectMeta{Name: "portcullis-guard-" + name, Labels: map[string]string{
			"app.kubernetes.io/name": "portcullis", "app.kubernetes.io/component": "tenant-guard",
		}}
		fail := admissionv1.Fail
		out.Policies = append(out.Policies, &admissionv1.ValidatingAdmissionPolicy{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"}, ObjectMeta: meta,
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy:    &fail,
				MatchConstraints: &admissionv1.MatchResources{NamespaceSelector: selector, ResourceRules: rules},
				MatchConditions:  []admissionv1.MatchCondition{{Name: "not-trusted", Expression: g.notTrusted()}},
				Validations:      validations,
			},
		})
		out.Bindings = append(out.Bindings, &admissionv1.ValidatingAdmissionPolicyBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"}, ObjectMeta: meta,
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		})
	}
	forbidden := metav1.StatusReasonForbidden // else kubectl calls the object invalid
	add("policies", policyRules(), nil, admissionv1.Validation{
		Expression: fmt.Sprintf("request.resource.resource == 'policyexceptions' && (request.operation == 'DELETE' || request.namespace in %s)", celList(g.ExceptionNamespaces)),
		Message:    "PodPolicies, and PolicyExceptions outside the namespaces that they count in, are changed by the groups and users that portcullis-guard-policies trusts",
		Reason:     &forbidden,
	})
	add("namespace", namespaceRules(), &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": g.Namespace}}, admissionv1.Validation{
		Expression: "false",
		Message:    "what is in the namespace " + g.Namespace + " is changed by the groups and users that portcullis-guard-namespace trusts",
		Reason:     &forbidden,
	})
	add("definitions", definitionRules(), nil, admissionv1.Validation{
		Expression: "oldObject == null || !oldObject.metadata.name.endsWith('.portcullis.dev')",
		Message:    "the CustomResourceDefinitions of Portcullis, and with them all policies, are changed by the groups and users that portcullis-guard-definitions trusts",
		Reason:     &forbidden,
	})
	add("labels", labelRules(), nil, admissionv1.Validation{
		Expression: "request.name != " + quote(g.Namespace),
		Message:    "the namespace " + g.Namespace + " is changed by the groups and users that portcullis-guard-labels trusts",
		Reason:     &forbidden,
	}, admissionv1.Validation{
		Expression: sameLabels,
		Message: "labels of a namespace that begin with pod-security.kubernetes.io/ or portcullis.dev/ are set, changed and taken away by the groups and users " +
			"that portcullis-guard-labels trusts; leave them as they are",
		Reason: &forbidden,
	})
	return out
}

// sameLabels holds where no label that exempts is set, changed or taken away.
const sameLabels = "request.operation == 'DELETE' || " +
	"(object.?metadata.labels.orValue({}).all(k, !(k.startsWith('pod-security.kubernetes.io/') || k.startsWith('portcullis.dev/')) || " +
	"request.operation == 'UPDATE' && oldObject.?metadata.labels[?k].orValue('') == object.metadata.labels[k] && k in oldObject.?metadata.labels.orValue({})) && " +
	"(request.operation != 'UPDATE' || oldObject.?metadata.labels.orValue({}).all(k, !(k.startsWith('pod-security.kubernetes.io/') || " +
	"k.startsWith('portcullis.dev/')) || k in object.?metadata.labels.orValue({}))))"

// notTrusted holds for who may not.
func (g Guard) notTrusted() string {
	groups := append([]string{"system:serviceaccounts:" + g.Namespace}, componentGroups...)
	groups = append(groups, g.Groups...)
	users := append(append([]string{}, componentUsers...), g.Users...)
	return fmt.Sprintf("!(request.userInfo.username in %s) && !request.userInfo.groups.exists(g, g in %s)", celList(users), celList(groups))
}

func celList(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = quote(name)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func ruleOn(scope admissionv1.ScopeType, group string, operations []admissionv1.OperationType, resources ...string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations,
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: resources, Scope: &scope},
	}}
}

var writes = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete}

func policyRules() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{
		ruleOn(admissionv1.ClusterScope, "portcullis.dev", writes, "podpolicies", "podpolicies/status"),
		ruleOn(admissionv1.NamespacedScope, "portcullis.dev", writes, "policyexceptions", "policyexceptions/status"),
	}
}

// namespaceRules have CONNECT: a shell in our pods has the rights of our service
// account.
func namespaceRules() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{ruleOn(admissionv1.NamespacedScope, "*", []admissionv1.OperationType{admissionv1.OperationAll}, "*/*")}
}

func definitionRules() []admissionv1.NamedRuleWithOperations {
	changes := []admissionv1.OperationType{admissionv1.Update, admissionv1.Delete}
	return []admissionv1.NamedRuleWithOperations{
		ruleOn(admissionv1.ClusterScope, "apiextensions.k8s.io", changes, "customresourcedefinitions", "customresourcedefinitions/status"),
	}
}

// labelRules have the subresources: their updates may change labels too.
func labelRules() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{
		ruleOn(admissionv1.ClusterScope, "", writes, "namespaces", "namespaces/status", "namespaces/finalize"),
	}
}

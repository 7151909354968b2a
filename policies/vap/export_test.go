package vap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"

	apicel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/portcullis-dev/portcullis/policies"
)

func export(t *testing.T, name, spec string) *Exported {
	t.Helper()
	list, err := policies.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: "+name+"}\nspec: "+spec+"\n"), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return Export(list[0])
}

// TestControlsAreUpstreams needs one for each revision of each check of upstream.
func TestControlsAreUpstreams(t *testing.T) {
	var want, got []string
	for _, check := range pspolicy.DefaultChecks() {
		for _, revision := range check.Versions {
			want = append(want, fmt.Sprintf("%s %s", check.ID, revision.MinimumVersion.String()))
		}
	}
	for id, revisions := range controls {
		for _, c := range revisions {
			version := psapi.MajorMinorVersion(1, c.since)
			got = append(got, fmt.Sprintf("%s %s", id, version.String()))
			if c.message == "" || c.pod == "" && c.container == "" {
				t.Errorf("%s %d judges nothing, or says nothing", id, c.since)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revisions (-upstream +here):\n%s", diff)
	}
}

// typed is an expression and the types that the API server takes for it.
type typed struct {
	text  string
	types []*cel.Type
}

func (e typed) GetExpression() string    { return e.text }
func (e typed) ReturnTypes() []*cel.Type { return e.types }

type namedTyped struct {
	typed
	name string
}

func (e namedTyped) GetName() string { return e.name }

// compile compiles a policy with the API server's own code.
func compile(t *testing.T, p *admissionv1.ValidatingAdmissionPolicy) {
	t.Helper()
	compiler, err := apicel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	options := apicel.OptionalVariableDeclarations{HasAuthorizer: true}
	check := func(what, text string, types ...*cel.Type) {
		if result := compiler.CompileCELExpression(typed{text, types}, options, environment.NewExpressions); result.Error != nil {
			t.Errorf("%s: %s: %s: %v", p.Name, what, text, result.Error)
		}
	}
	for _, c := range p.Spec.MatchConditions {
		check("condition "+c.Name, c.Expression, cel.BoolType)
	}
	for _, v := range p.Spec.Variables {
		if result := compiler.CompileAndStoreVariable(namedTyped{typed{v.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, v.Name}, options, environment.NewExpressions); result.Error != nil {
			t.Errorf("%s: variable %s: %v", p.Name, v.Name, result.Error)
		}
	}
	for _, v := range p.Spec.Validations {
		check("validation", v.Expression, cel.BoolType)
		if v.MessageExpression != "" {
			check("message", v.MessageExpression, cel.StringType)
		}
		if v.Message == "" || strings.ContainsAny(v.Message, "\n") {
			t.Errorf("%s: got message %q, want one line", p.Name, v.Message)
		}
	}
}

const everything = `{
	match: {namespaces: ["team-*", shop], excludeNamespaces: [team-x], namespaceSelector: {matchLabels: {a: b}}, objectSelector: {matchLabels: {c: d}}},
	modeOverrides: [{namespaces: ["*-old"], mode: Audit}, {namespaces: [team-new], mode: Warn}],
	mutate: {probes: {}},
	validate: {
		podSecurity: {level: restricted, exemptions: [{checks: [hostPorts], containers: [a, "b-*"], images: [nginx, "*.example.com/x/**"]}]},
		registries: {mode: Warn, allow: ["**"], deny: ["quay.io/a/*"]},
		digests: {forbidTags: [latest, "1.0"]},
		expressions: [
			{name: plain, expression: "!pod.spec.hostNetwork", messageExpression: "pod.metadata.name"},
			{name: shadow, variables: [{name: pod, expression: "1"}], expression: "variables.pod == 1 && has(pod.spec)", onError: Warn},
			{name: macro, expression: "pod.spec.containers.all(pod, pod.name != '')"},
			{name: image, expression: "image(pod.spec.containers[0]).tag != ''"}]}}`

func TestExport(t *testing.T) {
	got := export(t, "p", everything)
	type summary struct {
		Name, Mode, Actions, Failure string
	}
	var list []summary
	for i, p := range got.Policies {
		compile(t, p)
		s := summary{Name: p.Name, Actions: fmt.Sprint(got.Bindings[i].Spec.ValidationActions), Failure: string(*p.Spec.FailurePolicy)}
		for _, c := range p.Spec.MatchConditions {
			if c.Name == "mode" {
				s.Mode = c.Expression
			}
		}
		if got.Bindings[i].Spec.PolicyName != p.Name || p.Spec.MatchConstraints.ObjectSelector.MatchLabels["c"] != "d" || p.Spec.MatchConstraints.NamespaceSelector.MatchLabels["a"] != "b" {
			t.Errorf("%s: got binding %+v and constraints %+v, want those of the policy", p.Name, got.Bindings[i].Spec, p.Spec.MatchConstraints)
		}
		list = append(list, s)
	}
	enforce := "(request.namespace.matches('^(.*-old)$') ? 'Audit' : request.namespace in ['team-new'] ? 'Warn' : 'Enforce') == "
	warn := "(request.namespace.matches('^(.*-old)$') ? 'Audit' : request.namespace in ['team-new'] ? 'Warn' : 'Warn') == "
	three := func(name, failure string) []summary {
		return []summary{
			{"portcullis-p-" + name + "-enforce", enforce + "'Enforce'", "[Deny]", failure},
			{"portcullis-p-" + name + "-warn", enforce + "'Warn'", "[Warn Audit]", failure},
			{"portcullis-p-" + name + "-audit", enforce + "'Audit'", "[Audit]", failure},
		}
	}
	want := slices.Concat(three("podsecurity", "Fail"), []summary{
		{"portcullis-p-registries-warn", warn + "'Warn'", "[Warn Audit]", "Fail"},
		{"portcullis-p-registries-audit", warn + "'Audit'", "[Audit]", "Fail"},
	}, three("digests", "Fail"), three("expressions-plain", "Fail"), three("expressions-shadow", "Ignore"))
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"spec.existingViolations: an update that changes what runs is judged in full, so that what was there before is refused too",
		"spec.mutate.probes: nothing is repaired while the webhook is away, so that what it would repair is refused where a check asks for it",
		"spec.validate.expressions[1]: shadow: a workload that it cannot be evaluated on passes without a warning",
		"spec.validate.expressions[2]: macro: it uses pod as a name of its own in a macro; use another one",
		"spec.validate.expressions[3]: image: it reads images, which the API server does not",
		"spec.validate.podSecurity.namespaceLabels: the labels of namespaces are for the API server's own PodSecurity admission, which is on by default",
	}, got.Left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestTemplatesWarn parts pods from what makes them.
func TestTemplatesWarn(t *testing.T) {
	got := export(t, "p", "{match: {kinds: [Pod, Job]}, validate: {podSecurity: {level: baseline, templates: Warn}}}")
	var list []string
	for i, p := range got.Policies {
		var resources []string
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			resources = append(resources, r.Resources...)
		}
		list = append(list, fmt.Sprintf("%s %s %s", p.Name, resources, got.Bindings[i].Spec.ValidationActions))
	}
	if diff := cmp.Diff([]string{
		"portcullis-p-podsecurity [pods pods/ephemeralcontainers pods/resize] [Deny]",
		"portcullis-p-podsecurity-templates [jobs] [Warn Audit]",
	}, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPatterns holds the regular expressions of images against the patterns.
func TestPatterns(t *testing.T) {
	names := []string{
		"docker.io/library/nginx", "docker.io/team/app", "registry.example.com/a", "registry.example.com/a/b", "registry.example.com:5000/a",
		"x.example.com/a", "x.y.example.com/a", "registry.example.com.evil.io/a", "quay.io/team/app", "quay.io/team-evil/app",
	}
	for _, text := range []string{
		"nginx", "docker.io/library/*", "registry.example.com/*", "registry.example.com/**", "registry.example.com:5000/**", "*.example.com/**",
		"quay.io/team/**", "quay.io/team*/app", "**",
	} {
		p, err := policies.ParseImagePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		expression := regexp.MustCompile(patterns([]string{text}))
		for _, name := range names {
			if got, want := expression.MatchString(name), p.Match(name); got != want {
				t.Errorf("%s as %s: %s: got %v, want %v", text, expression, name, got, want)
			}
		}
	}
}

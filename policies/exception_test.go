package policies

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// exceptionHead is the beginning of an exception, up to its spec.
func exceptionHead(name string) string {
	return "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: " + name + ", namespace: portcullis-system}\n"
}

// exceptionSpec is a spec that is valid, with parts of it put anew.
func exceptionSpec(changes ...string) string {
	parts := map[string]string{
		"owner": "team-a", "reason": "because", "expiresAt": `"2026-12-01T00:00:00Z"`, "policies": "[p]",
		"rules": "[{rule: validate.podSecurity}]", "match": "{namespaces: [web]}",
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ": ")
		parts[name] = value
		if value == "" {
			delete(parts, name)
		}
	}
	var text []string
	for _, name := range []string{"owner", "reason", "ticket", "expiresAt", "policies", "rules", "match"} {
		if value, found := parts[name]; found {
			text = append(text, name+": "+value)
		}
	}
	return "{" + strings.Join(text, ", ") + "}"
}

func exceptionCases() []validationCase {
	return []validationCase{
		{name: "least", spec: exceptionSpec()},
		{name: "all", spec: exceptionSpec("ticket: X-1", `rules: [{rule: validate.podSecurity, checks: [hostPorts, privileged]}, {rule: validate.rootUser, checks: [root]}, {rule: validate.digests}]`,
			`match: {namespaces: [a, "b-*"], kinds: [Deployment], names: [web, a.b], podSelector: {matchLabels: {a: b}}, containers: ["c*"], images: [nginx, "quay.io/**"]}`)},
		{name: "repair", spec: exceptionSpec("rules: [{rule: mutate.digests}, {rule: mutate.probes}]")},
		{
			name: "nobody answers for it", spec: exceptionSpec("owner: ", `reason: " "`),
			want: []string{
				"spec.reason: is missing; say why the workloads cannot be what the policy asks for",
				"spec.owner: is missing; name the person or team that answers for the exception",
			},
		},
		{name: "no end", spec: exceptionSpec("expiresAt: "), want: []string{"spec.expiresAt: is missing; every exception ends: write a time such as 2026-12-31T23:59:59Z"}},
		{name: "parts of a second", spec: exceptionSpec(`expiresAt: "2026-12-01T00:00:00.5Z"`), want: []string{"spec.expiresAt: 2026-12-01T00:00:00.5Z has parts of a second; write whole seconds"}},
		{name: "no policy", spec: exceptionSpec("policies: []"), want: []string{"spec.policies: is empty; name the policies"}},
		{
			name: "policies by glob and label", spec: exceptionSpec(`policies: ["prod*", Namespace/web, Prod, p, p]`),
			want: []string{
				`spec.policies[0]: "prod*" is no name; policies are named one by one`,
				`spec.policies[1]: "Namespace/web" stands for the Pod Security labels of a namespace, and they know no exceptions; lower the label`,
				`spec.policies[2]: "Prod" is not the name of a policy; use up to 253 lower-case letters, digits, - and . (neither first nor last)`, `spec.policies[4]: "p" is listed twice`,
			},
		},
		{name: "no rule", spec: exceptionSpec("rules: []"), want: []string{"spec.rules: is empty; name the rules that do not count"}},
		{
			name: "unknown rules", spec: exceptionSpec("rules: [{rule: podSecurity}, {rule: digests}, {rule: validate.podSecurty}]"),
			want: []string{
				`spec.rules[0].rule: "podSecurity" is not a rule; use validate.podSecurity`,
				`spec.rules[1].rule: "digests" is not a rule; use mutate.digests or validate.digests`,
				`spec.rules[2].rule: "validate.podSecurty" is not a rule; did you mean validate.podSecurity?`,
			},
		},
		{name: "rule twice", spec: exceptionSpec("rules: [{rule: validate.digests}, {rule: validate.digests}]"), want: []string{`spec.rules[1]: "validate.digests" is listed twice`}},
		{
			name: "unknown checks", spec: exceptionSpec("rules: [{rule: validate.podSecurity, checks: [hostPort]}, {rule: validate.digests, checks: [x]}]"), inGoOnly: needsVersions,
			want: []string{
				`spec.rules[0].checks[0]: "hostPort" is not a check of validate.podSecurity; did you mean hostPorts?`,
				`spec.rules[1].checks[0]: "x" is not a check of validate.digests; use required or forbiddenTag`,
			},
		},
		{name: "checks of a repair", spec: exceptionSpec("rules: [{rule: mutate.digests, checks: [x]}]"), want: []string{`spec.rules[0].checks: a repair has no checks such as "x"; leave them out`}},
		{
			name: "repair of a container", spec: exceptionSpec("rules: [{rule: mutate.digests}]", "match: {namespaces: [a], containers: [b]}"),
			want: []string{`spec.rules[0].rule: "mutate.digests" is a repair of a workload as a whole; leave match.containers and match.images out, or make two exceptions`},
		},
		{name: "no namespace", spec: exceptionSpec("match: {namespaces: []}"), want: []string{"spec.match.namespaces: is empty; name the namespaces of the workloads"}},
		{
			name: "everything", spec: exceptionSpec(`match: {namespaces: ["*"]}`),
			want: []string{"spec.match: covers every workload; change the policy instead, or add names, podSelector, containers or images"},
		},
		{name: "one image everywhere", spec: exceptionSpec(`match: {namespaces: ["*"], images: [nginx]}`)},
		{
			name: "names", spec: exceptionSpec(`match: {namespaces: [a], names: ["web-*", A, b, b]}`),
			want: []string{
				`spec.match.names[0]: "web-*" is no name; workloads are named one by one, and the Pods that they make are covered with them`,
				`spec.match.names[1]: "A" is not the name of a workload; use up to 253 lower-case letters, digits, - and . (neither first nor last)`, `spec.match.names[3]: "b" is listed twice`,
			},
		},
		{
			name: "kinds that make others", spec: exceptionSpec("match: {namespaces: [a], kinds: [Deployment, Pod]}"),
			want: []string{`spec.match.kinds: listing "Deployment", "Pod" does not cover what the workloads make; add Pod, ReplicaSet for Deployment and Job for CronJob, or name the workloads in names`},
		},
		{name: "kinds with what they make", spec: exceptionSpec("match: {namespaces: [a], kinds: [Deployment, ReplicaSet, Pod]}")},
		{name: "selector", spec: exceptionSpec("match: {namespaces: [a], podSelector: {matchLabels: {a: 'b c'}}}"), inGoOnly: labelSyntax, want: []string{"selector"}},
		{name: "images", spec: exceptionSpec(`match: {namespaces: [a], images: ["*"]}`), inGoOnly: parsesImages, want: []string{"spec.match.images[0]"}},
	}
}

// TestValidateException requires that the API server refuses what the loader does, as far as a schema can.
func TestValidateException(t *testing.T) {
	server := newAPIServerOf(t, "policyexceptions")
	for _, tc := range exceptionCases() {
		t.Run(tc.name, func(t *testing.T) {
			text := exceptionHead("e") + "spec: " + tc.spec
			e := &PolicyException{}
			if err := yaml.UnmarshalStrict([]byte(text), e); err != nil {
				t.Fatal(err)
			}
			problems := ValidateException(e)
			var got []string
			for _, problem := range problems {
				got = append(got, problem.Error())
			}
			partly := len(tc.want) == 1 && !strings.Contains(tc.want[0], ": ")
			if diff := cmp.Diff(tc.want, got); diff != "" && (!partly || len(got) != 1 || !strings.Contains(strings.ToLower(got[0]), strings.ToLower(tc.want[0]))) {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
			errs := server.admit(t, object)
			if len(errs) > 0 && (len(tc.want) == 0 || tc.inGoOnly != "") {
				t.Errorf("API server: got %v, want no error", errs)
			}
			for _, problem := range problems {
				blames := func(err *field.Error) bool {
					return strings.HasPrefix(problem.Field, err.Field) || strings.HasPrefix(err.Field, problem.Field)
				}
				if tc.inGoOnly == "" && !slices.ContainsFunc(errs, blames) {
					t.Errorf("API server: got %v, want an error for %s", errs, problem.Field)
				}
			}
		})
	}
}

// TestExceptionTimes requires that the API server stores no time and no duration that Go cannot read: one such object would end the watch of all.
func TestExceptionTimes(t *testing.T) {
	exceptions, list := newAPIServerOf(t, "policyexceptions"), newAPIServer(t)
	admit := func(server *apiServer, text string) bool {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		return len(server.admit(t, object)) == 0
	}
	for text, want := range map[string]bool{
		"2026-12-01T00:00:00Z": true, "2026-12-01T00:00:00+02:00": true,
		"2026-12-01t00:00:00z": false, "2026-02-30T00:00:00Z": false, "2026-12-01": false, "2026-12-01T24:00:00Z": false, "tomorrow": false,
	} {
		got := admit(exceptions, exceptionHead("e")+"spec: "+exceptionSpec(fmt.Sprintf("expiresAt: %q", text)))
		_, err := time.Parse(time.RFC3339, text)
		if got != want || got && err != nil {
			t.Errorf("%s: got admitted %v (in Go %v), want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]bool{
		"720h": true, "1h30m": true, "90s": true, "999999h999999m999999s": true,
		"0s": false, "0h0m": false, "30 days": false, "1.5h": false, "-1h": false, "": false, "1h1h": false, "9999999h": false,
	} {
		got := admit(list, head("p")+fmt.Sprintf("spec: {mutate: {digests: {}}, exceptions: {maxDuration: %q}}", text))
		_, err := time.ParseDuration(text)
		if got != want || got && err != nil {
			t.Errorf("%s: got admitted %v (in Go %v), want %v", text, got, err, want)
		}
		if _, err := Load([]byte(head("p")+fmt.Sprintf("spec: {mutate: {digests: {}}, exceptions: {maxDuration: %q}}", text)), "p"); (err == nil) != want {
			t.Errorf("%s: got error %v of the loader, want accepted %v", text, err, want)
		}
	}
}

func TestExceptionCRD(t *testing.T) {
	crd := readCRDOf(t, "policyexceptions")
	want := apiextensionsv1.CustomResourceDefinitionNames{
		Plural: "policyexceptions", Singular: "policyexception", ShortNames: []string{"pex"},
		Kind: ExceptionKind, ListKind: "PolicyExceptionList", Categories: []string{"portcullis"},
	}
	if diff := cmp.Diff(want, crd.Spec.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if crd.Spec.Group != Group || crd.Spec.Scope != apiextensionsv1.NamespaceScoped {
		t.Errorf("got %s %s, want %s, Namespaced", crd.Spec.Group, crd.Spec.Scope, Group)
	}
	var columns []string
	for _, column := range crd.Spec.Versions[0].AdditionalPrinterColumns {
		columns = append(columns, column.Name)
	}
	if diff := cmp.Diff([]string{"Owner", "Policies", "Expires", "State", "Ends", "Reason", "Age"}, columns); diff != "" {
		t.Errorf("printer columns (-want +got):\n%s", diff)
	}
	compareCRDFields(t, crd, reflect.TypeFor[PolicyExceptionSpec]())
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	var enum []string
	for _, value := range spec.Properties["rules"].Items.Schema.Properties["rule"].Enum {
		enum = append(enum, strings.Trim(string(value.Raw), `"`))
	}
	if diff := cmp.Diff(words(RuleNames()), enum); diff != "" {
		t.Errorf("rules (-Go +CRD):\n%s", diff)
	}
}

// TestRuleNames requires that every section of a policy can be excepted from, and that no rule stays unknown to has.
func TestRuleNames(t *testing.T) {
	var want []string
	for part, typ := range map[string]reflect.Type{"mutate": reflect.TypeFor[MutateSpec](), "validate": reflect.TypeFor[ValidateSpec]()} {
		for section := range fieldsOf(typ) {
			want = append(want, part+"."+section)
		}
	}
	got := words(RuleNames())
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-sections +got):\n%s", diff)
	}
	all := &PodPolicy{Spec: PodPolicySpec{
		Mutate:   MutateSpec{Digests: &DigestPinning{}, Probes: &ProbeInjection{}, Logging: &LoggingInjection{}, Hardening: &Hardening{}},
		Validate: ValidateSpec{&PodSecurity{Level: "baseline"}, &RootUser{}, &DigestRequirement{}, &Registries{}, &ProbeRequirement{}, &LoggingRequirement{}, []Expression{{Name: "a", Expression: "true"}}},
	}}
	Default(all)
	c, _ := compile(all)
	for _, rule := range RuleNames() {
		if !c.has(rule) || (&Compiled{}).has(rule) {
			t.Errorf("%s: got %v of a policy that has it and %v of one that has nothing", rule, c.has(rule), (&Compiled{}).has(rule))
		}
	}
}

func TestGeneratedNames(t *testing.T) {
	long := strings.Repeat("a", 70)
	for _, tc := range []struct {
		kind, name, generate string
		kinds                []WorkloadKind
		owner                string
		want                 bool
	}{
		{"Deployment", "web", "", nil, "web", true},
		{"Deployment", "web-2", "", nil, "web", false},
		{"ReplicaSet", "web-6d4cf56db6", "", nil, "web", true},
		{"ReplicaSet", "web-6d4cf56db6", "", []WorkloadKind{KindDaemonSet}, "web", false},
		{"ReplicaSet", "web-api", "", nil, "web", false}, // a is no letter of a hash
		{"Pod", "web-6d4cf56db6-x7k2p", "", []WorkloadKind{KindDeployment}, "web", true},
		{"Pod", "web-6d4cf56db6-x7k2p", "", []WorkloadKind{KindDaemonSet}, "web", false},
		{"Pod", "", "web-6d4cf56db6-", []WorkloadKind{KindDeployment}, "web", true},
		{"Pod", "", "web-6d4cf56db6", []WorkloadKind{KindDeployment}, "web", false},
		{"Pod", "evil", "web-6d4cf56db6-", []WorkloadKind{KindDeployment}, "web", false},
		{"Pod", "web-x7k2p", "", []WorkloadKind{KindDeployment}, "web", false},
		{"Pod", "web-x7k2p", "", []WorkloadKind{KindDaemonSet}, "web", true},
		{"Pod", "web-evil1", "", nil, "web", false},
		{"Pod", "web", "", []WorkloadKind{KindDeployment}, "web", false},
		{"Pod", "web-0", "", []WorkloadKind{KindStatefulSet}, "web", true},
		{"Pod", "web-0-1", "", []WorkloadKind{KindStatefulSet}, "web", false},
		{"Pod", "xweb-6d4cf56db6-x7k2p", "", nil, "web", false},
		{"Pod", "webx-6d4cf56db6-x7k2p", "", nil, "web", false},
		{"Job", "web-29401234", "", nil, "web", true},
		{"Job", "web-manual", "", nil, "web", false},
		{"Pod", "web-29401234-x7k2p", "", []WorkloadKind{KindCronJob}, "web", true},
		{"Pod", "web-29401234-3-x7k2p", "", []WorkloadKind{KindCronJob}, "web", true},
		{"Pod", "web-3-x7k2p", "", []WorkloadKind{KindJob}, "web", true},
		{"Pod", long[:58] + "x7k2p", "", []WorkloadKind{KindDaemonSet}, long, true},
		{"Pod", long[:57] + "x7k2p", "", []WorkloadKind{KindDaemonSet}, long, false},
		{"Pod", "", long[:50] + "-6d4cf56db6-", []WorkloadKind{KindDeployment}, long[:50], true},
		{"Pod", long[:50] + "-6d4cf56x7k2p", "", []WorkloadKind{KindDeployment}, long[:50], true},
		{"Pod", long[:50] + "-6a4cf56x7k2p", "", []WorkloadKind{KindDeployment}, long[:50], false},
	} {
		e := &CompiledException{names: []string{tc.owner}, kinds: tc.kinds}
		if got := e.CoversWorkload(ExceptionTarget{Kind: tc.kind, Name: tc.name, GenerateName: tc.generate}); got != tc.want {
			t.Errorf("%s %q (%q) of %s %v: got %v, want %v", tc.kind, tc.name, tc.generate, tc.owner, tc.kinds, got, tc.want)
		}
	}
}

// TestExceptionEnds requires the earlier of expiresAt and creation plus maxDuration, for each policy.
func TestExceptionEnds(t *testing.T) {
	created := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const policies = "spec: {mutate: {digests: {}}, exceptions: {%s}}\n---\n"
	text := head("a") + fmt.Sprintf(policies, "maxDuration: 24h") + head("b") + fmt.Sprintf(policies, "maxDuration: 8000h") + head("c") + fmt.Sprintf(policies, "allowed: false") +
		head("default") + "spec: {mutate: {digests: {}}}\n"
	e := &PolicyException{}
	if err := yaml.Unmarshal([]byte(exceptionHead("e")+"spec: "+exceptionSpec("policies: [a, b, c, default, none]", "expiresAt: 2026-12-15T00:00:00Z")), e); err != nil {
		t.Fatal(err)
	}
	e.CreationTimestamp = metav1.NewTime(created)
	set, err := compileText(t, text).WithExceptions([]*PolicyException{e})
	if err != nil {
		t.Fatal(err)
	}
	got := set.Exceptions()[0]
	for policy, want := range map[string]time.Time{"a": created.Add(24 * time.Hour), "b": e.Spec.ExpiresAt.Time, "default": created.Add(720 * time.Hour)} {
		if end, ok := got.Ends(policy); !ok || !end.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", policy, end, ok, want)
		}
	}
	for _, policy := range []string{"c", "none", "other"} {
		if end, ok := got.Ends(policy); ok {
			t.Errorf("%s: got %v, want no end, since it does not count", policy, end)
		}
	}
	if last, ok := got.LastEnd(); !ok || !last.Equal(e.Spec.ExpiresAt.Time) {
		t.Errorf("got last end %v, %v, want %v", last, ok, e.Spec.ExpiresAt)
	}
}

// TestExceptionNamespaces is T22: names of namespaces are whole names.
func TestExceptionNamespaces(t *testing.T) {
	e := &PolicyException{}
	if err := yaml.Unmarshal([]byte(exceptionHead("e")+"spec: "+exceptionSpec("match: {namespaces: [web]}")), e); err != nil {
		t.Fatal(err)
	}
	glob := e.DeepCopy()
	glob.Name, glob.Spec.Match.Namespaces = "glob", []string{"team-*", "web"}
	set, err := compileText(t, head("p")+"spec: {mutate: {digests: {}}}").WithExceptions([]*PolicyException{glob, e})
	if err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]int{"web": 2, "web-evil": 0, "xweb": 0, "team-a": 1, "team": 0, "xteam-a": 0, "": 0} {
		if got := len(set.Excepting(nil, namespace, ExceptionTarget{Kind: "Pod", Name: "x"})); got != want {
			t.Errorf("%s: got %d exceptions, want %d", namespace, got, want)
		}
	}
	if _, err := set.WithExceptions([]*PolicyException{e, e}); err == nil || !strings.Contains(err.Error(), `PolicyException "portcullis-system/e": metadata.name: "e" is the name of another exception too`) {
		t.Errorf("got %v, want a name that is taken", err)
	}
}

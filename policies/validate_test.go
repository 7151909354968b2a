package policies

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// validationCase is a spec, and the problems that it has.
type validationCase struct {
	name string
	spec string
	want []string
	// inGoOnly says why OpenAPI and CEL do not see it.
	inGoOnly string
}

const (
	parsesGlobs   = "two globs have to be compared"
	namesOfGroups = "a name of a group is a string like any other"
	labelSyntax   = "the CRD of a LabelSelector has no rules"
)

const globAdvice = "can match nothing: names are lower-case letters, digits and - (not first or last); * stands for any run of them"

func matchCases() []validationCase {
	return []validationCase{
		{name: "empty match", spec: `{match: {}, mutate: {digests: {}}}`},
		{name: "empty lists", spec: `{match: {namespaces: [], excludeNamespaces: [], kinds: []}, modeOverrides: [], mutate: {digests: {}}}`},
		{name: "all of match", spec: `{match: {namespaces: [a, "team-*", "*"], excludeNamespaces: [kube-system, "team-x-*"], kinds: [Pod, Deployment],
			namespaceSelector: {matchLabels: {a: b}}, objectSelector: {matchExpressions: [{key: a, operator: Exists}]}}, mutate: {digests: {}}}`},
		{
			name: "exempt users and runtime classes",
			spec: `{match: {excludeUsernames: ["system:serviceaccount:a:b", "jane@example.com", "Jane Doe"], excludeRuntimeClasses: [gvisor, a.b]}, mutate: {digests: {}}}`,
		},
		{
			name: "exempt users by pattern", spec: `{match: {excludeUsernames: ["system:serviceaccount:ci:*", " "]}, mutate: {digests: {}}}`,
			want: []string{
				`spec.match.excludeUsernames[0]: "system:serviceaccount:ci:*" is no name; users are named one by one`,
				`spec.match.excludeUsernames[1]: " " is no name; write the one that the user logs in with`,
			},
		},
		{
			name: "exempt groups", spec: `{match: {excludeUsernames: [system:masters, "system:serviceaccounts:ci"]}, mutate: {digests: {}}}`, inGoOnly: namesOfGroups,
			want: []string{
				`spec.match.excludeUsernames[0]: "system:masters" is a group; users are named one by one, service accounts as system:serviceaccount:NAMESPACE:NAME`,
				`spec.match.excludeUsernames[1]: "system:serviceaccounts:ci" is a group; users are named one by one, service accounts as system:serviceaccount:NAMESPACE:NAME`,
			},
		},
		{
			name: "exempt twice", spec: `{match: {excludeUsernames: [a, a], excludeRuntimeClasses: [b, b]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.excludeUsernames[1]: "a" is listed twice`, `spec.match.excludeRuntimeClasses[1]: "b" is listed twice`},
		},
		{
			name: "runtime class by pattern", spec: `{match: {excludeRuntimeClasses: ["g*", Kata]}, mutate: {digests: {}}}`,
			want: []string{
				`spec.match.excludeRuntimeClasses[0]: "g*" is not the name of a runtime class; use up to 253 lower-case letters, digits, - and . (neither first nor last)`, `spec.match.excludeRuntimeClasses[1]: "Kata" is not the name of a runtime class; use up to 253 lower-case letters, digits, - and . (neither first nor last)`,
			},
		},
		{
			name: "upper case", spec: `{match: {namespaces: [Kube-System]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.namespaces[0]: "Kube-System" ` + globAdvice},
		},
		{
			name: "empty name", spec: `{match: {excludeNamespaces: [""]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.excludeNamespaces[0]: is empty; write a name, or * for every name`},
		},
		{
			name: "dash first, dash last, dot, question mark", spec: `{match: {namespaces: ["-a", "a-", "a.b", "a?"]}, mutate: {digests: {}}}`,
			want: []string{
				`spec.match.namespaces[0]: "-a" ` + globAdvice, `spec.match.namespaces[1]: "a-" ` + globAdvice,
				`spec.match.namespaces[2]: "a.b" ` + globAdvice, `spec.match.namespaces[3]: "a?" ` + globAdvice,
			},
		},
		{
			name: "long name", spec: `{match: {namespaces: [` + strings.Repeat("a", 64) + `]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.namespaces[0]: "` + strings.Repeat("a", 64) + `" can match nothing: names have at most 63 characters`},
		},
		{
			name: "twice", spec: `{match: {namespaces: [a, a], excludeNamespaces: ["b*", "b*"], kinds: [Pod, Pod]}, mutate: {digests: {}}}`,
			want: []string{
				`spec.match.namespaces[1]: "a" is listed twice`, `spec.match.excludeNamespaces[1]: "b*" is listed twice`,
				`spec.match.kinds[1]: "Pod" is listed twice`,
			},
		},
		{
			name: "too many", spec: `{match: {namespaces: [` + numbered("n", 257) + `]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.namespaces: has 257 entries; 256 is the limit`},
		},
		{
			name: "too many kinds", spec: `{match: {kinds: [` + strings.Repeat("Pod, ", 10) + `]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.kinds: has 10 entries; 9 is the limit`},
		},
		{
			name: "in and out", spec: `{match: {namespaces: [a, b], excludeNamespaces: [b]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.namespaces[1]: "b" is left out again by "b" in excludeNamespaces`},
		},
		{
			name: "in and out by glob", spec: `{match: {namespaces: ["team-a-*"], excludeNamespaces: ["team-*"]}, mutate: {digests: {}}}`, inGoOnly: parsesGlobs,
			want: []string{`spec.match.namespaces[0]: "team-a-*" is left out again by "team-*" in excludeNamespaces`},
		},
		{
			name: "nothing left", spec: `{match: {excludeNamespaces: ["**"]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.excludeNamespaces[0]: "**" leaves out every namespace; delete the policy instead`},
		},
		{
			name: "kind", spec: `{match: {kinds: [Deployments]}, mutate: {digests: {}}}`,
			want: []string{`spec.match.kinds[0]: "Deployments" is not a kind; use Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, ReplicationController or PodTemplate`},
		},
	}
}

func selectorCases() []validationCase {
	return []validationCase{
		{name: "empty selectors", spec: `{match: {namespaceSelector: {}, objectSelector: {}}, mutate: {digests: {}}}`},
		{
			name: "selector", spec: `{match: {namespaceSelector: {matchExpressions: [{key: a, operator: Within, values: [b]}]}, objectSelector: {matchExpressions: [{key: a, operator: In}]}}, mutate: {digests: {}}}`, inGoOnly: labelSyntax,
			want: []string{
				`spec.match.namespaceSelector.matchExpressions[0].operator: Invalid value: "Within": not a valid selector operator; use In, NotIn, Exists or DoesNotExist`,
				`spec.match.objectSelector.matchExpressions[0].values: Required value: must be specified when ` + "`operator` is 'In' or 'NotIn'",
			},
		},
		{
			name: "selector label", spec: `{match: {objectSelector: {matchLabels: {a: "b c"}}}, mutate: {digests: {}}}`, inGoOnly: labelSyntax,
			want: []string{`spec.match.objectSelector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`},
		},
	}
}

// compilesCEL: the API server knows no expression of ours, so that only we can compile it; it is our webhook that refuses it there.
const compilesCEL = "the CRD cannot compile expressions"

func expressionCases() []validationCase {
	return []validationCase{
		{name: "expressions", spec: `{validate: {expressions: [{name: a, expression: "variables.count > 0", messageExpression: "string(variables.count)", onError: Warn, mode: Audit,
			variables: [{name: count, expression: "pod.spec.containers.size()"}]}]}}`},
		{name: "no expressions", spec: `{validate: {expressions: []}}`, want: []string{`spec: no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions`}},
		{
			name: "expression fields", spec: `{validate: {expressions: [{name: A_b, expression: "true", onError: Ignore, mode: Deny}]}}`,
			want: []string{
				`spec.validate.expressions[0].name: "A_b" is not a name; use up to 63 lower-case letters, digits and - (not first or last)`,
				`spec.validate.expressions[0].mode: "Deny" is not a mode; use Enforce, Warn or Audit`,
				`spec.validate.expressions[0].onError: "Ignore" is not an action; use Deny or Warn`,
			},
		},
		{
			name: "expression names", spec: `{validate: {expressions: [{name: a, expression: "true"}, {name: a, expression: "true"}]}}`,
			want: []string{`spec.validate.expressions[1].name: "a" is the name of an entry before it too`},
		},
		{
			name: "expression errors", inGoOnly: compilesCEL,
			spec: `{validate: {expressions: [
				{name: a, expression: "pod.spec.containerz == 1", messageExpression: "1", variables: [{name: x, expression: "[1"}]},
				{name: b, expression: "params.x", message: "one\ntwo"}, {name: c, expression: "pod.metadata.name", fix: "x"}]}}`,
			want: []string{
				`spec.validate.expressions[0].variables[0].expression: 1:3: Syntax error: mismatched input '<EOF>' expecting {']', ','}`,
				`spec.validate.expressions[0].expression: 1:9: undefined field 'containerz'`,
				`spec.validate.expressions[0].messageExpression: 1:1: is of type int; it must be of type string`,
				`spec.validate.expressions[1].message: "one\ntwo" has several lines; write one`,
				`spec.validate.expressions[1].expression: 1:1: there is no params: a policy carries its own values; write the value itself, or a variable`,
				`spec.validate.expressions[2].expression: 1:1: is of type string; it must be of type bool`,
			},
		},
	}
}

func modeCases() []validationCase {
	return []validationCase{
		{name: "no rule", spec: `{mode: Audit}`, want: []string{`spec: no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions`}},
		{name: "no rule in sections", spec: `{mutate: {}, validate: {}}`, want: []string{`spec: no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions`}},
		{name: "modes", spec: `{mode: Warn, onRegistryError: Warn, existingViolations: Deny, mutate: {digests: {mode: Audit}}, validate: {podSecurity: {mode: Enforce}},
			modeOverrides: [{namespaces: [a, "b-*"], mode: Audit}, {namespaces: ["*"], mode: Enforce}]}`},
		{
			name: "bad words", spec: `{mode: enforce, onRegistryError: Ignore, existingViolations: Warn, mutate: {digests: {mode: "on"}}, validate: {podSecurity: {mode: ""}}}`,
			want: []string{
				`spec.onRegistryError: "Ignore" is not an action; use Deny, Warn or Allow`,
				`spec.existingViolations: "Warn" is not an action; use Allow or Deny`,
				`spec.mode: "enforce" is not a mode; use Enforce, Warn or Audit`,
				`spec.mutate.digests.mode: "on" is not a mode; use Enforce, Warn or Audit`,
				`spec.validate.podSecurity.mode: "" is not a mode; use Enforce, Warn or Audit`,
			},
		},
		{
			name: "override without its fields", spec: `{modeOverrides: [{}], mutate: {digests: {}}}`,
			want: []string{
				`spec.modeOverrides[0].namespaces: is empty; name the namespaces that have this mode`,
				`spec.modeOverrides[0].mode: "" is not a mode; use Enforce, Warn or Audit`,
			},
		},
		{
			name: "override that is never used", spec: `{modeOverrides: [{namespaces: ["legacy-*"], mode: Warn}, {namespaces: [other, legacy-1], mode: Audit}], mutate: {digests: {}}}`, inGoOnly: parsesGlobs,
			want: []string{`spec.modeOverrides[1].namespaces[1]: "legacy-1" never counts: "legacy-*" in an entry before it is used first`},
		},
		{
			name: "exceptions for no time", spec: `{mutate: {digests: {}}, exceptions: {maxDuration: 0h0m}}`,
			want: []string{`spec.exceptions.maxDuration: "0s" lets no exception last; set allowed to false instead`},
		},
		{
			name: "exceptions for parts of a second", spec: `{mutate: {digests: {}}, exceptions: {maxDuration: 1500ms}}`,
			want: []string{`spec.exceptions.maxDuration: "1.5s" has parts of a second; write whole seconds`},
		},
		{
			name: "too many overrides", spec: `{modeOverrides: [` + strings.Join(overrides(65), ", ") + `], mutate: {digests: {}}}`,
			want: []string{`spec.modeOverrides: has 65 entries; 64 is the limit`},
		},
	}
}

// numbered is a list of n names.
func numbered(prefix string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return strings.Join(names, ", ")
}

func overrides(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = "{namespaces: [n" + strconv.Itoa(i) + "], mode: Warn}"
	}
	return list
}

func TestValidate(t *testing.T) {
	server := newAPIServer(t)
	for _, tc := range slices.Concat(matchCases(), selectorCases(), expressionCases(), modeCases(), podSecurityCases(), exemptionCases(), exemptCheckCases(),
		ownerCases(), probesCases(), probeTemplateCases(), probeCatalogCases(), probeRequirementCases(), hardeningCases(), rootUserCases(), digestRequirementCases(), registriesCases(), loggingCases(), loggingCatalogCases(), loggingRequirementCases(), breakGlassCases()) {
		t.Run(tc.name, func(t *testing.T) {
			text := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: " + tc.spec
			p := &PodPolicy{}
			if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
				t.Fatal(err)
			}
			Default(p)
			var got []string
			for _, problem := range Validate(p) {
				got = append(got, problem.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			object := map[string]any{}
			data, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &object); err != nil { // as the API server reads it
				t.Fatal(err)
			}
			errs := server.admit(t, object)
			if len(errs) > 0 && (len(tc.want) == 0 || tc.inGoOnly != "") {
				t.Errorf("API server: got %v, want no error", errs)
			}
			for _, problem := range Validate(p) {
				blames := func(err *field.Error) bool {
					return problem.Field == err.Field || strings.HasPrefix(problem.Field, err.Field+".") || strings.HasPrefix(problem.Field, err.Field+"[")
				}
				if tc.inGoOnly == "" && !slices.ContainsFunc(errs, blames) {
					t.Errorf("API server: got %v, want an error for %s", errs, problem.Field)
				}
			}
		})
	}
}

// TestEverySectionIsARule has each section of mutate and validate alone in a policy: neither Validate nor the API server may call it none.
func TestEverySectionIsARule(t *testing.T) {
	server := newAPIServer(t)
	none := &PodPolicy{}
	Default(none)
	for part, typ := range map[string]reflect.Type{"mutate": reflect.TypeFor[MutateSpec](), "validate": reflect.TypeFor[ValidateSpec]()} {
		for section := range fieldsOf(typ) {
			value := "{}"
			if section == "expressions" {
				value = `[{name: x, expression: "true"}]`
			}
			text := "metadata: {name: p}\nspec: {" + part + ": {" + section + ": " + value + "}}"
			p := &PodPolicy{}
			object := map[string]any{}
			if err := errors.Join(yaml.UnmarshalStrict([]byte(text), p), yaml.Unmarshal([]byte(text), &object)); err != nil {
				t.Fatal(err)
			}
			Default(p)
			if err := Validate(p).Err(); err != nil && strings.Contains(err.Error(), "no rule is switched on") {
				t.Errorf("%s.%s: got %v, want it to be a rule", part, section, err)
			}
			if errs := server.admit(t, object); strings.Contains(fmt.Sprint(errs), "no rule is switched on") {
				t.Errorf("API server: %s.%s: got %v, want it to be a rule", part, section, errs)
			}
			if err := Validate(none).Err(); err == nil || !strings.Contains(err.Error(), part+"."+section) {
				t.Errorf("got %v, want %s.%s among what to add", err, part, section)
			}
		}
	}
}

func TestValidateMetadata(t *testing.T) {
	tests := map[string][]string{
		`{}`:                        {`metadata.name: is missing; findings are reported under it`},
		`{name: p, namespace: q}`:   {`metadata.namespace: "q" is a namespace, and a PodPolicy is cluster-scoped; leave it out and use spec.match.namespaces`},
		`{name: p, labels: {a: b}}`: nil,
		`{name: P_1}`: {`metadata.name: "P_1" is not a name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', ` +
			`and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
	}
	for _, metadata := range slices.Sorted(maps.Keys(tests)) {
		p := &PodPolicy{}
		if err := yaml.UnmarshalStrict([]byte("metadata: "+metadata+"\nspec: {mutate: {digests: {}}}"), p); err != nil {
			t.Fatal(err)
		}
		Default(p)
		var got []string
		for _, problem := range Validate(p) {
			got = append(got, problem.Error())
		}
		if diff := cmp.Diff(tests[metadata], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", metadata, diff)
		}
	}
}

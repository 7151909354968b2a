package validate

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// rules judge the cases in testdata/RULE. A case is named pass-WHAT or
// fail-WHAT, where a rule has several checks fail-CHECK or fail-CHECK-WHAT.
func rules(t testing.TB) map[string]struct {
	checks []string
	judge  func(w *pod.Workload, check string) []pod.Finding
} {
	evaluator := newEvaluator(t)
	levels := map[string]api.Level{}
	var ids []string
	for _, check := range policy.DefaultChecks() {
		levels[string(check.ID)] = check.Level
		ids = append(ids, string(check.ID))
	}
	compiled := compile(t, `{rootUser: {}, probes: {require: [readiness]}, digests: {forbidTags: [latest]},
		registries: {allow: ["registry.example.com/**", "docker.io/library/*"], deny: ["registry.example.com/team/banned"]},
		logging: {require: [environment, terminationMessagePolicy]},
		expressions: [
			{name: team, expression: 'has(pod.metadata.labels) && "team" in pod.metadata.labels', message: "every pod names its team", fix: "add the label team"},
			{name: hostpath, expression: '!has(pod.spec.volumes) || pod.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith("/data/"))',
				messageExpression: '"hostPath is for /data, and not for " + pod.spec.volumes.filter(v, has(v.hostPath)).map(v, v.hostPath.path).join(", ")'},
			{name: memory, variables: [{name: limited, expression: 'pod.spec.containers.filter(c, has(c.resources.limits) && "memory" in c.resources.limits)'}],
				expression: 'variables.limited.all(c, quantity(c.resources.limits["memory"]).compareTo(quantity("2Gi")) <= 0)'},
			{name: source, expression: 'pod.spec.containers.all(c, "org.opencontainers.image.source" in image(c).labels)', message: "every image says where its source is"},
			{name: error, expression: 'pod.spec.hostAliases.all(a, a.ip != "127.0.0.1")'}]}`)
	type rule = struct {
		checks []string
		judge  func(w *pod.Workload, check string) []pod.Finding
	}
	return map[string]rule{
		PodSecurityRule: {ids, func(w *pod.Workload, check string) []pod.Finding {
			level, ok := levels[check]
			if !ok {
				level = api.LevelRestricted
			}
			return PodSecurity(evaluator, w, settings(level))
		}},
		RootUserRule: {[]string{runsAsRoot, neverStarts, userUnknown}, func(w *pod.Workload, _ string) []pod.Finding {
			return RootUser(w, compiled.RootUser, userFacts(t))
		}},
		DigestsRule: {[]string{digestRequired, digestTag}, func(w *pod.Workload, _ string) []pod.Finding {
			return Digests(w, compiled.DigestRequirement)
		}},
		ProbesRule: {[]string{probeMissing, probesIdentical, probeTimeout, livenessWithoutStartup}, func(w *pod.Workload, _ string) []pod.Finding {
			return Probes(w, compiled.ProbeRequirement)
		}},
		LoggingRule: {[]string{logDirectory, logRedirect, logTailSidecar, logEnvironment, logTerminationMessage}, func(w *pod.Workload, _ string) []pod.Finding {
			return Logging(w, compiled.LoggingRequirement, loggingFacts())
		}},
		ExpressionsRule: {[]string{"team", "hostpath", "memory", "source", "error"}, func(w *pod.Workload, _ string) []pod.Finding {
			return judgeExpressions(w, compiled, ExpressionInput{Facts: expressionFacts()})
		}},
		RegistriesRule: {[]string{registryNotAllowed, registryDenied}, func(w *pod.Workload, _ string) []pod.Finding {
			return Registries(w, compiled.Registries)
		}},
	}
}

// TestExceptableChecks requires that an exception can name every check that there
// is, and no other. The names of expressions are the admin's: only what cannot be
// one is refused.
func TestExceptableChecks(t *testing.T) {
	for name, rule := range rules(t) {
		e := &policies.PolicyException{}
		e.Spec.Rules = []policies.ExceptionRule{{Rule: policies.RuleName("validate." + name), Checks: append(rule.checks[:len(rule.checks):len(rule.checks)], "in.vented")}}
		var refused []string
		for _, problem := range policies.ValidateException(e) {
			if strings.HasPrefix(problem.Field, "spec.rules") {
				refused = append(refused, problem.Field)
			}
		}
		if want := fmt.Sprintf("spec.rules[0].checks[%d]", len(rule.checks)); len(refused) != 1 || refused[0] != want {
			t.Errorf("%s: got %v refused, want %s alone", name, refused, want)
		}
	}
}

// TestCases judges every case file. One that fails trips the check it is named
// after and no other, one that passes none; no rule and no check is without.
func TestCases(t *testing.T) {
	all := rules(t)
	folders, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if _, ok := all[filepath.Base(folder)]; !ok {
			t.Errorf("%s is named after no rule", folder)
		}
	}
	for name, rule := range all {
		passed, failed := 0, map[string]bool{}
		files, err := filepath.Glob(filepath.Join("testdata", name, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			what, fails := strings.CutPrefix(strings.TrimSuffix(filepath.Base(file), ".yaml"), "fail-")
			check := ""
			if fails && len(rule.checks) > 0 {
				check, _, _ = strings.Cut(what, "-")
			}
			if !fails && !strings.HasPrefix(what, "pass-") {
				t.Errorf("%s begins with neither pass- nor fail-", file)
			}
			t.Run(name+"/"+filepath.Base(file), func(t *testing.T) {
				findings := rule.judge(read(t, file), check)
				if !fails && len(findings) > 0 {
					t.Fatalf("got findings %+v, want none", findings)
				}
				if fails && len(findings) == 0 {
					t.Fatal("got no finding, want one")
				}
				for _, f := range findings {
					if f.Rule != name || f.Check != check {
						t.Errorf("got a finding of %s/%s, want only %s/%s", f.Rule, f.Check, name, check)
					}
					if f.Path.String() == "spec" || f.Message == "" || f.Fix == "" {
						t.Errorf("got finding %+v, want a field, a message and a fix", f)
					}
				}
			})
			if !fails {
				passed++
			}
			failed[check] = failed[check] || fails
		}
		for _, check := range append([]string{""}, rule.checks...) {
			if !failed[check] && (check != "" || len(rule.checks) == 0) {
				t.Errorf("%s/%s has no case that fails", name, check)
			}
		}
		if passed == 0 {
			t.Errorf("%s has no case that passes", name)
		}
	}
}

// userFacts are the images of the rootUser cases, by the name in their reference.
func userFacts(t testing.TB) image.Facts {
	t.Helper()
	linux := func(arch, user string, uid int64) image.Platform {
		return image.Platform{OS: "linux", Architecture: arch, User: user, UID: uid}
	}
	notFound := &image.Error{Reason: image.UserNotFound, Image: "registry.example.com/unknown-name:1"}
	platforms := map[string][]image.Platform{
		"root":             {linux("amd64", "", 0)},
		"zero":             {linux("amd64", "0:0", 0)},
		"number":           {linux("amd64", "1000", 1000), linux("arm64", "1000", 1000)},
		"number-and-group": {linux("amd64", "1000:1000", 1000)},
		"name":             {linux("amd64", "app", 999)},
		"toor":             {linux("amd64", "toor", 0)},
		"unknown-name":     {{OS: "linux", Architecture: "amd64", User: "gone", UID: image.UnknownUID, UIDErr: notFound}},
		"root-on-arm64":    {linux("amd64", "1000", 1000), linux("arm64", "", 0)},
		"windows":          {{OS: "windows", Architecture: "amd64", Selected: true}},
		"windows-alone":    {{OS: "windows", Architecture: "amd64"}},
		"windows-and-number": {
			{OS: "windows", Architecture: "amd64", Selected: true}, linux("amd64", "1000", 1000),
		},
	}
	facts := image.Facts{}
	for name, list := range platforms {
		facts["registry.example.com/"+name+":1"] = image.Fact{Platforms: list}
	}
	failure := func(name string, reason image.Reason) {
		facts[name] = image.Fact{Err: &image.Error{Reason: reason, Image: name, Host: "registry.example.com"}}
	}
	failure("registry.example.com/unreachable:1", image.Unreachable)
	failure("registry.example.com//x:1", image.InvalidReference)
	return facts
}

func compile(t testing.TB, validate string) *policies.Compiled {
	t.Helper()
	list, err := policies.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: "+validate+"}\n"), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return set.Matching(nil, policies.Target{Namespace: "web", Kind: "Pod"})[0].Policy
}

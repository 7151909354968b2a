package exceptions_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// badSpecs are policies that are wrong, by what is wrong with them, each with the
// paths of all that is.
func badSpecs() map[string]struct {
	spec  string
	paths []string
} {
	return map[string]struct {
		spec  string
		paths []string
	}{
		"nothing":         {`{}`, []string{"spec"}},
		"wrong enums":     {`{mode: Block, onRegistryError: Retry, validate: {podSecurity: {level: strict, templates: Maybe}}}`, []string{"spec.onRegistryError", "spec.mode", "spec.validate.podSecurity.level", "spec.validate.podSecurity.templates"}},
		"globs":           {`{match: {namespaces: ["Team_A", "a", "-x"], excludeNamespaces: ["*"]}, modeOverrides: [{mode: Warn, namespaces: []}], validate: {podSecurity: {level: baseline}}}`, []string{"spec.match.namespaces[0]", "spec.match.namespaces[2]", "spec.match.excludeNamespaces[0]", "spec.modeOverrides[0].namespaces"}},
		"a glob in vain":  {`{match: {namespaces: [team-a], excludeNamespaces: ["team-*"]}, validate: {podSecurity: {level: baseline}}}`, []string{"spec.match.namespaces[0]"}},
		"versions":        {`{validate: {podSecurity: {level: baseline, version: "1.36"}, rootUser: {version: v2.0}}}`, []string{"spec.validate.podSecurity.version", "spec.validate.rootUser.version"}},
		"selectors":       {`{match: {namespaceSelector: {matchExpressions: [{key: a, operator: Near}]}, objectSelector: {matchLabels: {"a b": c}}}, validate: {podSecurity: {level: baseline}}}`, []string{"spec.match.namespaceSelector.matchExpressions[0].operator", "spec.match.objectSelector.matchLabels"}},
		"wrong types":     {`{mode: 1, validate: {podSecurity: {level: [baseline]}, registries: {allow: all}}}`, []string{"spec.mode", "spec.validate.podSecurity.level", "spec.validate.registries.allow"}},
		"levels":          {`{validate: {podSecurity: {level: Baseline, version: v1.x}}}`, []string{"spec.validate.podSecurity.level", "spec.validate.podSecurity.version"}},
		"selector values": {`{match: {namespaceSelector: {matchExpressions: [{key: a, operator: In}]}, objectSelector: {matchLabels: {a: "b c"}}}, validate: {podSecurity: {level: baseline}}}`, []string{"spec.match.namespaceSelector.matchExpressions[0].values", "spec.match.objectSelector.matchLabels"}},
		"expressions": {`{validate: {expressions: [{name: syntax, expression: "pod.spec."}, {name: type, expression: "size(pod.spec.containers)"}, {name: unknown, expression: "pods.size() > 0"},
  {name: mixed, expression: "pod.metadata.name == 1"}, {name: message, expression: "true", messageExpression: "1"}, {name: variable, variables: [{name: a, expression: "1 + 'a'"}], expression: "variables.b"}]}}`, []string{
			"spec.validate.expressions[0].expression", "spec.validate.expressions[1].expression", "spec.validate.expressions[2].expression", "spec.validate.expressions[3].expression",
			"spec.validate.expressions[4].messageExpression", "spec.validate.expressions[5].variables[0].expression", "spec.validate.expressions[5].expression",
		}},
		"expression fields": {`{validate: {expressions: [{name: A, expression: "true", onError: Ignore, mode: Deny}, {name: "", expression: ""}]}}`, []string{
			"spec.validate.expressions[0].name", "spec.validate.expressions[0].onError", "spec.validate.expressions[0].mode", "spec.validate.expressions[1].name", "spec.validate.expressions[1].expression",
		}},
		"images":          {`{validate: {registries: {allow: ["nginx:1", "*-bad"]}}}`, []string{"spec.validate.registries.allow[0]", "spec.validate.registries.allow[1]"}},
		"durations":       {`{validate: {podSecurity: {level: baseline}}, exceptions: {maxDuration: 0s}}`, []string{"spec.exceptions.maxDuration"}},
		"exempt by group": {`{match: {excludeUsernames: [system:masters], excludeRuntimeClasses: [G]}, validate: {podSecurity: {level: baseline}}}`, []string{"spec.match.excludeUsernames[0]", "spec.match.excludeRuntimeClasses[0]"}},
	}
}

// TestBadPolicies holds that kubectl apply and the command line refuse a policy with
// the same words: all problems at once, each with its path.
func TestBadPolicies(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	for name, test := range badSpecs() {
		t.Run(name, func(t *testing.T) {
			file := write(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: bad}\nspec: "+test.spec+"\n")
			cluster, local := refusalsOf(t, c, file, "PodPolicy")
			compareRefusals(t, cluster, local, test.paths)
		})
	}
}

// TestBadExceptions does the same for exceptions.
func TestBadExceptions(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baseline)
	stored := fmt.Sprintf("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: %s}\nspec: {match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}\n", policy, namespace)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for name, test := range map[string]struct {
		namespace, spec string
		paths           []string
	}{
		"nobody answers": {harness.SystemNamespace, `{expiresAt: "` + in(time.Hour) + `", policies: [` + policy + `], rules: [{rule: validate.podSecurity}], match: {namespaces: [web]}}`, []string{"spec.reason", "spec.owner"}},
		"too long":       {harness.SystemNamespace, `{owner: a, reason: b, expiresAt: "` + in(721*time.Hour) + `", policies: [` + policy + `], rules: [{rule: validate.podSecurity}], match: {namespaces: [web]}}`, []string{"spec.expiresAt"}},
		"nothing":        {harness.SystemNamespace, `{}`, []string{"spec.reason", "spec.owner", "spec.expiresAt", "spec.policies", "spec.rules", "spec.match.namespaces"}},
		"selectors":      {harness.SystemNamespace, `{owner: a, reason: b, expiresAt: "` + in(time.Hour) + `", policies: [` + policy + `], rules: [{rule: validate.podSecurity}], match: {namespaces: [web], podSelector: {matchExpressions: [{key: a, operator: Near}]}}}`, []string{"spec.match.podSelector.matchExpressions[0].operator"}},
		"rules":          {harness.SystemNamespace, `{owner: a, reason: b, expiresAt: "` + in(time.Hour) + `", policies: [` + policy + `], rules: [{rule: validate.podSecurity, checks: [hostPort]}, {rule: validate.rootUser}], match: {namespaces: ["-x", "**"]}}`, []string{"spec.rules[0].checks[0]", "spec.rules[1].rule", "spec.match.namespaces[0]", "spec.match"}},
		"everything at once": {namespace, `{owner: "", reason: b, expiresAt: tomorrow, policies: [` + policy + `, "x*"], rules: [{rule: podSecurity}, {rule: mutate.digests, checks: [a]}],
  match: {namespaces: [A_], kinds: [Pods], names: ["*"], podSelector: {matchLabels: {"a b": c}}, images: ["*-bad"]}}`, []string{
			"metadata.namespace", "spec.owner", "spec.expiresAt", "spec.policies[1]", "spec.rules[0].rule", "spec.rules[1].checks", "spec.rules[1].rule", "spec.match.namespaces[0]",
			"spec.match.kinds[0]", "spec.match.names[0]", "spec.match.podSelector.matchLabels", "spec.match.images[0]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: bad, namespace: " + test.namespace + "}\nspec: " + test.spec + "\n"
			file := write(t, text)
			both := write(t, stored+"---\n"+text)
			cluster := kubectlRefusal(t, c, file, "PolicyException")
			compareRefusals(t, cluster, localRefusal(t, c, both), test.paths)
		})
	}

	// What has ended is told by the command line in the same words, and no error: the
	// file may have been good when it was written.
	text := "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: bad, namespace: " + harness.SystemNamespace + "}\nspec: {owner: a, reason: b, expiresAt: \"2026-01-01T00:00:00Z\", policies: [" + policy +
		"], rules: [{rule: validate.podSecurity}], match: {namespaces: [web]}}\n"
	const words = "spec.expiresAt: 2026-01-01T00:00:00Z has passed, so that it would cover nothing; write a later time, or delete the exception"
	if got := kubectlRefusal(t, c, write(t, text), "PolicyException"); len(got) != 1 || got[0] != words {
		t.Errorf("expired on arrival: kubectl: got %q, want %q", got, words)
	}
	if output := check(t, c, write(t, stored+"---\n"+text)); !strings.Contains(output, words) {
		t.Errorf("expired on arrival: portcullis check: got %s, want %q", output, words)
	}
}

// TestUnknownField is the one case in which the API server speaks before us: it
// names the path in its own words.
func TestUnknownField(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	file := write(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: bad}\nspec: {mod: Warn, validate: {podSecurity: {lvl: baseline}}}\n")
	applied := apply(t, c, file)
	local := check(t, c, file)
	for _, path := range []string{"spec.mod", "spec.validate.podSecurity.lvl"} {
		if !strings.Contains(applied, `unknown field "`+path+`"`) {
			t.Errorf("kubectl: got %s, want it to name %s", applied, path)
		}
		if !strings.Contains(local, path+": unknown field; did you mean ") {
			t.Errorf("portcullis check: got %s, want it to name %s", local, path)
		}
	}
}

// TestLongValues holds that a policy is taken whose texts are as long as they may be.
// The API server makes keys of the entries of some lists, in managedFields.
func TestLongValues(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	user := func(end string) string { return strings.Repeat("u", 1024-len(end)) + end }
	image := "registry.example.com/" + strings.Repeat("a", 255-len("registry.example.com/"))
	policy := func(mode string) string {
		return fmt.Sprintf(`apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: long-values}
spec:
  mode: %s
  match: {namespaces: [%s], excludeUsernames: [%s, %s]}
  mutate:
    logging: {env: [{name: A, value: %s}]}
    probes: {catalog: [{images: [%s], readiness: {exec: {command: [a, %s]}}}]}
  validate:
    registries: {allow: [%s]}
    expressions: [{name: %s, expression: "'%s' != ''", message: %s}]
`, mode, strings.Repeat("n", 63), user("1"), user("2"), strings.Repeat("v", 1024), image, strings.Repeat("c", 4096), image,
			strings.Repeat("e", 63), strings.Repeat("x", 16384-len("'' != ''")), strings.Repeat("m", 1024))
	}
	kubectl := func(args ...string) {
		t.Helper()
		output, err := exec.Command(harness.Program("kubectl"), append([]string{"--kubeconfig=" + c.Kubeconfig}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("kubectl %s: %v\n%.2000s", args[0], err, output)
		}
	}
	t.Cleanup(func() { kubectl("delete", "podpolicy", "long-values", "--ignore-not-found") })
	kubectl("apply", "-f", write(t, policy("Warn")))
	kubectl("apply", "-f", write(t, policy("Audit")))
	kubectl("apply", "--server-side", "--force-conflicts", "-f", write(t, policy("Enforce")))
}

// TestEmptySections has a rule written without anything after it, which YAML takes for
// no rule: it is refused where the API server sees it, and told of where kubectl apply
// leaves it out.
func TestEmptySections(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	policy := func(section string) string {
		return write(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: empty-section}\nspec: {match: {namespaces: [nowhere]}, mutate: {digests: {}}, validate: {podSecurity: {level: baseline}"+section+"}}\n")
	}
	const problem = "spec.validate.rootUser: is empty; write {} for its defaults, or leave it out"
	kubectl := func(args ...string) (output string, ok bool) {
		text, err := exec.Command(harness.Program("kubectl"), append([]string{"--kubeconfig=" + c.Kubeconfig}, args...)...).CombinedOutput()
		return string(text), err == nil
	}
	t.Cleanup(func() { kubectl("delete", "podpolicy", "empty-section", "--ignore-not-found") })
	empty := policy(", rootUser: ")
	for _, args := range [][]string{{"create", "-f", empty}, {"apply", "--server-side", "-f", empty}} {
		if got, ok := kubectl(args...); ok || !strings.Contains(got, "PodPolicy \"empty-section\" is refused:\n- "+problem) {
			t.Errorf("kubectl %s: got %s, want it refused for %s", args[0], got, problem)
		}
	}
	warning := "Warning: " + problem + ": kubectl apply has left it out, and it is not in force"
	for _, step := range []struct {
		section string
		warned  bool
	}{{"", false}, {", rootUser: ", true}, {", rootUser: ", false}, {", rootUser: {}", false}, {", rootUser: ", true}} {
		got, ok := kubectl("apply", "-f", policy(step.section))
		if !ok || strings.Contains(got, warning) != step.warned {
			t.Errorf("kubectl apply with %q: got %s, want a warning %v", step.section, got, step.warned)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// apply is what kubectl apply says to a file that it must not accept.
func apply(t *testing.T, c *suite.Cluster, file string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), harness.Program("kubectl"), "--kubeconfig="+c.Kubeconfig, "apply", "-f", file).CombinedOutput()
	if err == nil {
		t.Fatalf("kubectl apply: got %s, want a refusal", output)
	}
	return string(output)
}

// check is what portcullis check says of a file of policies.
func check(t *testing.T, c *suite.Cluster, file string) string {
	t.Helper()
	pod := write(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
	output, _ := exec.CommandContext(t.Context(), c.Binary, "check", "--policy="+file, pod).CombinedOutput()
	return string(output)
}

func refusalsOf(t *testing.T, c *suite.Cluster, file, kind string) (cluster, local []string) {
	t.Helper()
	return kubectlRefusal(t, c, file, kind), localRefusal(t, c, file)
}

// kubectlRefusal is each problem that the webhook names.
func kubectlRefusal(t *testing.T, c *suite.Cluster, file, kind string) []string {
	t.Helper()
	output := apply(t, c, file)
	if !strings.Contains(output, kind+` "bad" is refused:`) {
		t.Fatalf("kubectl apply: got %s, want our refusal", output)
	}
	var problems []string
	for line := range strings.Lines(output) {
		if problem, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			problems = append(problems, problem)
		}
	}
	return problems
}

// atPlace is where a problem is in a file.
var atPlace = regexp.MustCompile(`^.*bad\.yaml: document \d+, line \d+: `)

// localRefusal is each problem that the command line names, without its place.
func localRefusal(t *testing.T, c *suite.Cluster, file string) []string {
	t.Helper()
	var problems []string
	for line := range strings.Lines(check(t, c, file)) {
		if place := atPlace.FindString(line); place != "" {
			problems = append(problems, strings.TrimSpace(line[len(place):]))
		}
	}
	return problems
}

// compareRefusals requires the same problems in any order (of the lines of a file
// there, of the fields of an object here), and that they are those of the paths.
func compareRefusals(t *testing.T, cluster, local, paths []string) {
	t.Helper()
	words := func(problems []string) map[string]bool {
		set := map[string]bool{}
		for _, p := range problems {
			set[timesOut(p)] = true
		}
		return set
	}
	if got, want := words(cluster), words(local); len(got) != len(paths) || len(want) != len(paths) || !equal(got, want) {
		t.Errorf("kubectl apply says\n%s\nportcullis check says\n%s\nwant the same %d problems", strings.Join(cluster, "\n"), strings.Join(local, "\n"), len(paths))
	}
	for _, path := range paths {
		found := false
		for _, p := range cluster {
			found = found || strings.HasPrefix(p, path+": ")
		}
		if !found {
			t.Errorf("got\n%s\nwant a problem at %s", strings.Join(cluster, "\n"), path)
		}
	}
}

// timesOut takes the seconds out of a problem that tells when now is.
func timesOut(problem string) string {
	return regexp.MustCompile(`write \S+Z or earlier`).ReplaceAllString(problem, "write T or earlier")
}

func equal(a, b map[string]bool) bool {
	for key := range a {
		if !b[key] {
			return false
		}
	}
	return len(a) == len(b)
}

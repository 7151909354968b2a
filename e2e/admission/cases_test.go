package admission_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// rulesOfCases are the policies by which the cases in validate/testdata are
// judged, by the folder. Those of podSecurity depend on the case.
func rulesOfCases() map[string]string {
	return map[string]string{
		"digests": `{digests: {forbidTags: [latest]}}`,
		"registries": `{registries: {allow: ["registry.example.com/**", "docker.io/library/*"],
			deny: ["registry.example.com/team/banned"]}}`,
		"logging":  `{logging: {mode: Enforce, require: [environment, terminationMessagePolicy]}}`,
		"probes":   `{probes: {require: [readiness]}}`,
		"rootUser": `{rootUser: {}}`,
		"expressions": `{expressions: [
			{name: team, expression: 'has(pod.metadata.labels) && "team" in pod.metadata.labels', message: "every pod names its team", fix: "add the label team"},
			{name: hostpath, expression: '!has(pod.spec.volumes) || pod.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith("/data/"))',
				messageExpression: '"hostPath is for /data, and not for " + pod.spec.volumes.filter(v, has(v.hostPath)).map(v, v.hostPath.path).join(", ")'},
			{name: memory, variables: [{name: limited, expression: 'pod.spec.containers.filter(c, has(c.resources.limits) && "memory" in c.resources.limits)'}],
				expression: 'variables.limited.all(c, quantity(c.resources.limits["memory"]).compareTo(quantity("2Gi")) <= 0)'},
			{name: source, expression: 'pod.spec.containers.all(c, "org.opencontainers.image.source" in image(c).labels)', message: "every image says where its source is"},
			{name: error, expression: 'pod.spec.hostAliases.all(a, a.ip != "127.0.0.1")'}]}`,
		"podSecurity/baseline":   `{podSecurity: {level: baseline}}`,
		"podSecurity/restricted": `{podSecurity: {level: restricted}}`,
	}
}

// TestCases sends the cases of the unit tests through the API server: one named
// pass-WHAT is admitted, one named fail-WHAT is refused by its rule, or warned of
// by it where its check never denies. T14 to T18.
func TestCases(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	pushImagesOfCases(t, c)
	namespaces := map[string]string{}
	for rule, validate := range rulesOfCases() {
		namespaces[rule] = c.Namespace(t, nil)
		c.Policy(t, namespaces[rule], "{validate: "+validate+"}")
	}
	r := replay{Cluster: c}
	r.client, r.warnings = c.NewClient(t, nil)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	cases, err := filepath.Glob(filepath.Join(root, "validate", "testdata", "*", "*.yaml"))
	if err != nil || len(cases) < 50 {
		t.Fatalf("got %d cases in validate/testdata (%v), want 50 and more", len(cases), err)
	}
	for _, file := range cases {
		rule, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		namespace, known := namespaces[rule]
		if rule == "podSecurity" {
			namespace, known = namespaces["podSecurity/"+levelOf(name)], true
		}
		t.Run(rule+"/"+name, func(t *testing.T) {
			if !known {
				t.Fatalf("rulesOfCases has no policy for %s", rule)
			}
			if name == "fail-procMount.yaml" {
				t.Skip("since v1.35 the API server forbids what the check of baseline forbids; TestRefusals has a case of v1.34")
			}
			r.warnings.Take()
			refusal := r.judge(t, namespace, file)
			verdict := refusal
			if onlyWarns(rule, name) {
				verdict = strings.Join(r.warnings.Take(), "\n")
			}
			switch {
			case onlyWarns(rule, name) && refusal != "":
				t.Errorf("got refused with %q, want a warning", refusal)
			case strings.HasPrefix(name, "pass-") && refusal != "":
				t.Errorf("got refused with %q, want admitted", refusal)
			case strings.HasPrefix(name, "fail-") && !strings.Contains(verdict, "for-"+namespace+": "+rule):
				t.Errorf("got %q, want a refusal, or a warning, by rule %s", verdict, rule)
			}
		})
	}
}

// onlyWarns reports whether the check that a case is named after never denies.
func onlyWarns(rule, name string) bool {
	return rule == "probes" && strings.HasPrefix(name, "fail-") && !strings.HasPrefix(name, "fail-missing")
}

// levelOf is the level of the check that a case of podSecurity is named after.
func levelOf(name string) string {
	for _, check := range policy.DefaultChecks() {
		if name == "fail-"+string(check.ID)+".yaml" {
			return string(check.Level)
		}
	}
	return "restricted"
}

// replay sends cases through the API server.
type replay struct {
	*suite.Cluster
	client   client.Client
	warnings *suite.Warnings // that client gets
}

// judge creates the pod of a case, dry, and returns why it is refused. What the
// API server itself finds invalid, such as a new pod with ephemeral containers, is
// posted to the webhook.
func (r replay) judge(t *testing.T, namespace, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if rule := filepath.Base(filepath.Dir(file)); rule == "rootUser" || rule == "logging" || rule == "expressions" { // these images are looked at
		data = []byte(strings.ReplaceAll(string(data), "registry.example.com", r.Registry.Host()))
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(data, &pod); err != nil {
		t.Fatal(err)
	}
	pod.Namespace = namespace
	err = r.client.Create(t.Context(), pod.DeepCopy(), client.DryRunAll)
	var status *apierrors.StatusError
	switch {
	case err == nil:
		return ""
	case !apierrors.IsInvalid(err) && errors.As(err, &status):
		return status.ErrStatus.Message
	}
	object, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	request := suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object}
	if response := suite.Review(t, r.Server, "/validate", request); !response.Allowed {
		return response.Result.Message
	}
	return ""
}

// pushImagesOfCases makes the images that the cases of rootUser and logging name.
func pushImagesOfCases(t *testing.T, c *suite.Cluster) {
	t.Helper()
	const passwd = "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\napp:x:999:999::/:/bin/sh\n"
	user := func(name string) harness.Platform {
		return harness.Platform{Config: harness.Config{User: name}, Passwd: passwd}
	}
	arm := func(p harness.Platform) harness.Platform {
		p.Architecture = "arm64"
		return p
	}
	windows := harness.Platform{OS: "windows"}
	env := func(variables ...string) harness.Platform {
		return harness.Platform{Config: harness.Config{Env: variables}}
	}
	const python = "PYTHON_VERSION=3.12.4"
	labelled := harness.Platform{Config: harness.Config{Labels: map[string]string{"org.opencontainers.image.source": "https://git.example.com/shop"}}}
	for name, platforms := range map[string][]harness.Platform{
		"root":               {user("")},
		"zero":               {user("0:0")},
		"number":             {user("1000"), arm(user("1000"))},
		"number-and-group":   {user("1000:1000")},
		"name":               {user("app")},
		"toor":               {user("toor")},
		"unknown-name":       {user("gone")},
		"root-on-arm64":      {user("1000"), arm(user(""))},
		"windows":            {windows},
		"windows-and-number": {windows, user("1000")},
		"labelled":           {labelled, arm(labelled)},
		"labelled-on-amd64":  {labelled, arm(env())},
		"bare":               {env()},
		"plain":              {env()},
		"python":             {env(python), arm(env(python))},
		"python-unbuffered":  {env(python, "PYTHONUNBUFFERED=1", "NO_COLOR=1")},
		"python-on-amd64":    {env(python), arm(env())},
	} {
		if err := c.Registry.PushPlatforms(fmt.Sprintf("%s/%s:1", c.Registry.Host(), name), platforms...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Registry.PushManifest(c.Registry.Host()+"/windows-alone:1", windows); err != nil {
		t.Fatal(err)
	}
}

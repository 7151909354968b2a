package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExportVAP(t *testing.T) {
	got := execute(t, "", "export", "vap", "--preset", "restricted")
	if got.code != 0 {
		t.Fatalf("got %+v, want exit code 0", got)
	}
	const left = "spec.mutate.digests: nothing is repaired while the webhook is away, so that what it would repair is refused where a check asks for it"
	if !strings.Contains(got.stdout, "# Not exported: "+left+".\n") || !strings.Contains(got.stderr, "portcullis: PodPolicy restricted: not exported: "+left+"\n") {
		t.Errorf("got %+v, want what is left out on both streams", got)
	}
	for _, want := range []string{"\nkind: ValidatingAdmissionPolicy\n", "\nkind: ValidatingAdmissionPolicyBinding\n", "  name: portcullis-restricted-podsecurity\n", "  - Deny\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("got %s, want %q", got.stdout, want)
		}
	}
	file := filepath.Join(t.TempDir(), "vap.yaml")
	if written := execute(t, "", "export", "vap", "--preset", "restricted", "--file", file); written.code != 0 || written.stdout != "" {
		t.Errorf("got %+v, want exit code 0 and no output", written)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != got.stdout {
		t.Errorf("got a file that differs from the output (%v)", err)
	}
}

// TestExportVAPNamesExceptions exports a folder as serve and check take it.
func TestExportVAPNamesExceptions(t *testing.T) {
	got := execute(t, "", "export", "vap", "--policy", "../../examples/exception.yaml")
	const left = "what it exempts is refused by the API server; leave it out with spec.match of the policy"
	if got.code != 0 || !strings.Contains(got.stderr, "portcullis: PolicyException portcullis-system/node-exporter: not exported: "+left+"\n") ||
		!strings.Contains(got.stdout, "# PolicyException portcullis-system/node-exporter\n# Not exported: "+left+".\n") || !strings.Contains(got.stdout, "\nkind: ValidatingAdmissionPolicy\n") {
		t.Errorf("got %+v, want the policies exported, and the exception named on both streams", got)
	}
}

func TestExportVAPUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "portcullis: neither --policy nor --preset is given: name the policies to export\n"},
		{[]string{"--policy", "x", "--preset", "audit"}, "portcullis: --policy and --preset are given: give one of them\n"},
		{[]string{"--policy", "none.yaml"}, "portcullis: none.yaml: cannot be read: no such file or directory\n"},
	} {
		if got := execute(t, "", append([]string{"export", "vap"}, test.args...)...); got.code != 2 || got.stderr != test.want {
			t.Errorf("%v: got %+v, want exit code 2, %q", test.args, got, test.want)
		}
	}
}

// TestCheckExpressions skips what a file does not tell, and judges the rest.
func TestCheckExpressions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := write("policy.yaml", `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: own}
spec:
  validate:
    expressions:
    - {name: replicas, expression: "object.spec.replicas < 3", message: too many replicas, fix: use 2}
    - {name: who, expression: "request.userInfo.username == 'ann'"}
    - {name: source, expression: "pod.spec.containers.all(c, 'source' in image(c).labels)"}
`)
	object := write("web.yaml", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "nginx:1"}]}
`)
	got := execute(t, "", "check", "--policy", policy, object, "--output", "json")
	if got.code != 1 {
		t.Errorf("got %+v, want exit code 1", got)
	}
	for _, want := range []string{
		`"message":"too many replicas"`, `"field":"spec.replicas","value":3`,
		`"message":"not judged: it reads of the request what is known at admission alone"`,
		`"message":"a registry would have to be asked (--online): it is not known whether the expression holds: no registry was asked about \"nginx:1\""`,
		`"fail":1,"warn":0,"error":0,"skip":2`,
	} {
		if compact := strings.NewReplacer("\n", "", `": `, `":`, "  ", "").Replace(got.stdout); !strings.Contains(strings.ReplaceAll(compact, `", "`, `","`), want) {
			t.Errorf("got %s, want %s", compact, want)
		}
	}
}

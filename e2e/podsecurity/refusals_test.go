package podsecurity_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var update = flag.Bool("update", false, "write the golden files of TestRefusals")

const (
	refusals       = "testdata/refusals"
	policiesOfThem = "policies.yaml"
)

// TestRefusals shows each refusal as a user of kubectl sees it. There is a case
// for every check of the Pod Security Standards, which trips this check and no
// other, and some for what else can be wrong.
func TestRefusals(t *testing.T) {
	c := cluster.Cluster(t)
	createPolicies(t, c)
	cases := files(t, refusals)
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if filepath.Base(file) == policiesOfThem {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := refusal(t, c, filepath.Base(file))
			if isCheck(name) && !strings.Contains(got, "podSecurity/"+name+":") {
				t.Errorf("the refusal does not name its check:\n%s", got)
			}
			golden := filepath.Join(refusals, name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the refusal differs from %s (-want +got), -update writes it:\n%s", golden, diff)
			}
		})
	}
}

// TestRefusalsAreComplete needs a case for each check that upstream has.
func TestRefusalsAreComplete(t *testing.T) {
	for _, check := range policy.DefaultChecks() {
		if _, err := os.Stat(filepath.Join(refusals, string(check.ID)+".yaml")); err != nil {
			t.Errorf("there is no case for check %s: %v", check.ID, err)
		}
	}
}

func isCheck(name string) bool {
	for _, check := range policy.DefaultChecks() {
		if string(check.ID) == name {
			return true
		}
	}
	return false
}

// createPolicies puts the policies of the cases in force, each with a namespace.
func createPolicies(t *testing.T, c *suite.Cluster) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(refusals, policiesOfThem))
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			t.Fatal(err)
		}
		c.CreatePolicy(t, &object, c.Server)
		labels := map[string]string{}
		if object.GetName() == "labelled" {
			labels[api.EnforceLevelLabel] = string(api.LevelBaseline)
		}
		c.NamedNamespace(t, object.GetName(), labels)
	}
}

// refusal is what kubectl says about a file that is refused.
func refusal(t *testing.T, c *suite.Cluster, file string) string {
	t.Helper()
	kubectl := exec.CommandContext(t.Context(), harness.Program("kubectl"), "--kubeconfig="+c.Kubeconfig,
		"--cache-dir="+t.TempDir(), "create", "--dry-run=server", "-f", file)
	kubectl.Dir = refusals
	var errors bytes.Buffer
	kubectl.Stderr = &errors
	if output, err := kubectl.Output(); err == nil {
		t.Fatalf("kubectl create -f %s: got %s, want a refusal", file, output)
	}
	return errors.String()
}

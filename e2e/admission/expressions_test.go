package admission_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestExpressionErrors has the API server and the command line refuse a policy in
// the same words, all that is wrong at once.
func TestExpressionErrors(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	policy := suite.NewPolicy(t, "wrong-expressions", `
match: {namespaces: [nowhere]}
validate:
  expressions:
  - {name: a, expression: "pod.spec.containerz.size() > 0", messageExpression: "1"}
  - {name: b, expression: "variables.x && params.y == 1", variables: [{name: x, expression: "object.spec.replicas == 'x'"}]}
`)
	problems := []string{
		"spec.validate.expressions[0].expression: 1:9: undefined field 'containerz'",
		"spec.validate.expressions[0].messageExpression: 1:1: is of type int; it must be of type string",
		"spec.validate.expressions[1].variables[0].expression: 1:22: found no matching overload for '_==_' applied to '(int, string)'",
		"spec.validate.expressions[1].expression: 1:16: there is no params: a policy carries its own values; write the value itself, or a variable",
	}
	data, err := yaml.Marshal(policy.Object)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), c.Binary, "check", "--policy", file, file).CombinedOutput()
	if err == nil {
		t.Errorf("portcullis check: got no error, want one")
	}
	refusal := c.Client.Create(t.Context(), policy)
	if refusal == nil {
		t.Fatal("got no error, want a refusal")
	}
	for _, problem := range problems {
		if !strings.Contains(refusal.Error(), "\n- "+problem) {
			t.Errorf("the API server: got %v, want it to name %s", refusal, problem)
		}
		if !strings.Contains(string(output), ": "+problem+"\n") {
			t.Errorf("portcullis check: got %s, want it to name %s", output, problem)
		}
	}
}

// TestExpressionsOfARequest judges what only the API server knows: who asks, the
// namespace, and the object before an update.
func TestExpressionsOfARequest(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, map[string]string{"tier": "gold"})
	c.Policy(t, namespace, `
validate:
  expressions:
  - name: who
    expression: request.userInfo.username == "nobody" || object.metadata.name != "asked"
    messageExpression: "request.userInfo.username + ' asks, in groups ' + request.userInfo.groups.join(',')"
  - {name: tier, expression: "namespaceObject.metadata.labels['tier'] == 'gold' && namespaceObject.metadata.uid != ''"}
  - name: fewer
    expression: oldObject == null || !has(oldObject.spec.template.spec.containers) ||
      object.spec.template.spec.containers.size() <= oldObject.spec.template.spec.containers.size()
    message: containers get fewer
`)
	create(t, c.Client, suite.Pod.New(namespace, "other", suite.GoodSpec()))
	err := c.Client.Create(t.Context(), suite.Pod.New(namespace, "asked", suite.GoodSpec()))
	wantRefusal(t, err, "expressions/who", "asks, in groups system:masters,system:authenticated")
	object := create(t, c.Client, suite.Deployment.New(namespace, "web", suite.GoodSpec()))
	spec := suite.SpecOf(object)
	spec.Containers = append(spec.Containers, suite.GoodContainer("second"))
	wantRefusal(t, c.Client.Update(t.Context(), object), "expressions/fewer", "containers get fewer")
}

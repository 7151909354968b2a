package policystatus_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestLastValidVersionAcrossRestart has every process end while a policy is invalid:
// one that starts later has its last valid version in force.
func TestLastValidVersionAcrossRestart(t *testing.T) {
	c := cluster.Cluster(t)
	first, err := c.Serve(t.Context(), harness.ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := c.Namespace(t, nil)
	create(t, c, "kept", fmt.Sprintf("{match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}", namespace))
	await(t, c, "kept", 1)
	set(t, c, "kept", map[string]any{"allow": []any{"nginx:1"}}, "spec", "validate", "registries")
	await(t, c, "kept", 2)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	later := serve(t, c)
	bad := suite.GoodSpec()
	bad.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	bad.Containers[0].SecurityContext.Privileged = ptr.To(true)
	object, err := json.Marshal(suite.Pod.New(namespace, "bad", bad))
	if err != nil {
		t.Fatal(err)
	}
	if suite.Review(t, later, "/validate", suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object}).Allowed {
		t.Error("got a privileged pod allowed by the process that started later, want the last valid version to refuse it")
	}
	set(t, c, "kept", "Warn", "spec", "mode") // still invalid
	if got, _ := await(t, c, "kept", 3); got.reason != "LastValidVersionInForce" || got.rules != 1 {
		t.Errorf("got status %+v, want generation 1 in force", got)
	}
	set(t, c, "kept", map[string]any{"allow": []any{"docker.io/**"}}, "spec", "validate", "registries")
	got, p := await(t, c, "kept", 4)
	if _, found, _ := unstructured.NestedMap(p.Object, "status", "lastValid"); found || got.ready != "True" {
		t.Errorf("got status %+v, lastValid kept %t, want it ready and none kept", got, found)
	}
}

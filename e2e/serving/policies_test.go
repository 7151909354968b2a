package serving_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestPolicyChange holds that a policy is in force within a second on every
// replica, when it is made, changed and deleted.
func TestPolicyChange(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	replicas := []*harness.Server{serve(t, c, harness.ServeOptions{}), serve(t, c, harness.ServeOptions{})}
	namespace := c.Namespace(t, nil)
	spec := suite.GoodSpec()
	spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	spec.Containers[0].SecurityContext.Privileged = ptr.To(true)
	object, err := json.Marshal(suite.Pod.New(namespace, "bad", spec))
	if err != nil {
		t.Fatal(err)
	}
	request := suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object}
	within := func(what string, change func() error, allowed bool) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		start := time.Now()
		for i, s := range replicas {
			suite.Eventually(t, time.Second-time.Since(start), func() error {
				if got := suite.Review(t, s, "/validate", request).Allowed; got != allowed {
					return fmt.Errorf("%s: replica %d: got allowed %t, want %t", what, i, got, allowed)
				}
				return nil
			})
		}
		t.Logf("%s: in force on both after %s", what, time.Since(start))
	}
	policy := suite.NewPolicy(t, "change", fmt.Sprintf("{match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}", namespace))
	within("create", func() error { return c.Client.Create(t.Context(), policy) }, false)
	mode := func(mode string) func() error { // a patch: the status is written meanwhile
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"mode":"`+mode+`"}}`))
		return func() error { return c.Client.Patch(t.Context(), policy, patch) }
	}
	within("relax", mode("Audit"), true)
	within("tighten", mode("Enforce"), false)
	within("delete", func() error { return c.Client.Delete(t.Context(), policy) }, true)
}

// TestInvalidPolicy holds that the API server refuses what could never work, with
// the schema of the CRD alone: there is no webhook for policies.
func TestInvalidPolicy(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	cases := []struct{ name, spec, text string }{
		{"nothing", `{}`, "no rule is switched on"},
		{"mode", `{mode: Block, validate: {podSecurity: {}}}`, `spec.mode: Unsupported value: "Block"`},
		{"level", `{validate: {podSecurity: {level: strict}}}`, `spec.validate.podSecurity.level: Unsupported value: "strict"`},
		{"version", `{validate: {podSecurity: {level: baseline, version: "1.36"}}}`, "spec.validate.podSecurity.version"},
		{"namespace", `{match: {namespaces: ["Team_A"]}, validate: {podSecurity: {}}}`, "spec.match.namespaces[0]"},
		{"everything-excluded", `{match: {excludeNamespaces: ["*"]}, validate: {podSecurity: {}}}`, "this leaves out every namespace"},
		{"override", `{modeOverrides: [{mode: Warn}], validate: {podSecurity: {}}}`, "spec.modeOverrides[0].namespaces: Required value"},
		{"judges-nothing", `{validate: {podSecurity: {namespaceLabels: Ignore}}}`, "this judges nothing"},
		{"unknown-field", `{validate: {podSecurity: {lvl: baseline}}}`, `unknown field "spec.validate.podSecurity.lvl"`},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			policy := suite.NewPolicy(t, "invalid-"+test.name, test.spec)
			// As kubectl does; other clients get a warning about an unknown field.
			err := c.Client.Create(t.Context(), policy, client.FieldValidation("Strict"))
			if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want it to be invalid: %s", err, test.text)
			}
		})
	}
}

package serving_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// privilegedPod is the review of a pod that baseline refuses.
func privilegedPod(t *testing.T, namespace string) suite.Request {
	t.Helper()
	spec := suite.GoodSpec()
	spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	spec.Containers[0].SecurityContext.Privileged = ptr.To(true)
	object, err := json.Marshal(suite.Pod.New(namespace, "bad", spec))
	if err != nil {
		t.Fatal(err)
	}
	return suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: admissionv1.Create, Object: object}
}

const baselinePolicy = "{validate: {podSecurity: {level: baseline}}}"

// TestExceptionChange holds that an exception is in force within a second on every
// replica, and its end too, however it comes.
func TestExceptionChange(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	replicas := []*harness.Server{serve(t, c, harness.ServeOptions{}), serve(t, c, harness.ServeOptions{})}
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baselinePolicy, replicas...)
	request := privilegedPod(t, namespace)
	var took []time.Duration
	within := func(what string, change func() error, allowed bool) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		start := time.Now()
		for i, s := range replicas {
			suite.Eventually(t, suite.Soon, func() error {
				if got := suite.Review(t, s, "/validate", request).Allowed; got != allowed {
					return fmt.Errorf("%s: replica %d: got allowed %t, want %t", what, i, got, allowed)
				}
				return nil
			})
		}
		took = append(took, time.Since(start))
		t.Logf("%s: in force on both after %s", what, took[len(took)-1])
	}
	exception := suite.Exception{Policy: policy, Namespace: namespace}.Object(t)
	within("create", func() error { return c.Client.Create(t.Context(), exception) }, true)
	within("delete", func() error { return c.Client.Delete(t.Context(), exception) }, false)
	exception.SetResourceVersion("")
	within("create again", func() error { return c.Client.Create(t.Context(), exception) }, true)
	object := suite.NewPolicy(t, policy, baselinePolicy)
	if err := c.Client.Get(t.Context(), client.ObjectKey{Name: policy}, object); err != nil {
		t.Fatal(err)
	}
	object.Object["spec"].(map[string]any)["exceptions"] = map[string]any{"allowed": false}
	within("the policy allows none any more", func() error { return c.Client.Update(t.Context(), object) }, false)
	slices.Sort(took) // a machine that is busy elsewhere may delay one of them
	if typical := took[len(took)/2]; typical > time.Second {
		t.Errorf("got changes in force after %s, want most within a second", took)
	}
	for i, s := range replicas {
		if got, err := s.Metric(`portcullis_exceptions{state="orphaned"}`); err != nil || got < 1 {
			t.Errorf("replica %d: got %v orphaned exceptions (%v), want one", i, got, err)
		}
	}
	if err := c.Client.Delete(t.Context(), exception); err != nil {
		t.Error(err)
	}
}

// TestExceptionExpiry holds that an exception ends to the second, with nobody
// telling.
func TestExceptionExpiry(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, baselinePolicy, s)
	request := privilegedPod(t, namespace)
	end := time.Now().Add(8 * time.Second).Truncate(time.Second)
	c.CreateException(t, suite.Exception{Policy: policy, Namespace: namespace, Expires: end}.Object(t))
	suite.Eventually(t, time.Until(end)/2, func() error {
		if response := suite.Review(t, s, "/validate", request); !response.Allowed {
			return fmt.Errorf("got refused: %s", response.Result.Message)
		}
		return nil
	})
	warned := suite.Review(t, s, "/validate", request).Warnings
	if len(warned) != 1 || !strings.Contains(warned[0], `its owner is "team-a"`) {
		t.Errorf("got warnings %q, want one that names the owner", warned)
	}
	last := time.Time{}
	for {
		before := time.Now()
		response := suite.Review(t, s, "/validate", request)
		if !response.Allowed {
			if time.Now().Before(end) {
				t.Errorf("refused %s before the end", time.Until(end))
			}
			break
		}
		last = before
		if before.After(end.Add(5 * time.Second)) {
			t.Fatal("still allowed 5 s after the end")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !last.Before(end) {
		t.Errorf("a review that began %s after the end was allowed", last.Sub(end))
	}
}

// TestExceptionElsewhere is CVE-2024-48921: an exception that got into a namespace
// that nobody listed counts for nothing, and it counts where the admin lists it.
func TestExceptionElsewhere(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace, listed := c.Namespace(t, nil), c.Namespace(t, nil)
	byDefault := serve(t, c, harness.ServeOptions{})
	byFlag := serve(t, c, harness.ServeOptions{Args: []string{"--exception-namespaces=" + listed}})
	policy := c.Policy(t, namespace, baselinePolicy, byDefault, byFlag)
	request := privilegedPod(t, namespace)
	for _, in := range []string{namespace, listed} { // no webhook is registered here
		c.CreateException(t, suite.Exception{In: in, Policy: policy, Namespace: namespace}.Object(t))
	}
	suite.Eventually(t, suite.Soon, func() error {
		if response := suite.Review(t, byFlag, "/validate", request); !response.Allowed {
			return fmt.Errorf("with the flag: got refused: %s", response.Result.Message)
		}
		return nil
	})
	for range 20 { // long enough for a watch that there must not be
		if suite.Review(t, byDefault, "/validate", request).Allowed {
			t.Fatal("by default: got allowed by an exception in another namespace")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestInvalidException holds that the API server refuses what could never work, with
// the schema of the CRD alone: there is no webhook for exceptions.
func TestInvalidException(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	policy := "for-" + namespace
	for field, test := range map[string]struct {
		value any
		want  string
	}{
		"owner":     {nil, "spec.owner: Required value"},
		"reason":    {"", "spec.reason: Invalid value"},
		"expiresAt": {nil, "spec.expiresAt: Required value"},
		"policies":  {[]any{"prod*"}, "spec.policies[0]: Invalid value"},
		"rules":     {[]any{map[string]any{"rule": "podSecurity"}}, `spec.rules[0].rule: Unsupported value: "podSecurity"`},
		"match":     {map[string]any{"namespaces": []any{"*"}}, "this covers every workload"},
		"unknown":   {"x", `unknown field "spec.unknown"`},
	} {
		exception := suite.Exception{Policy: policy, Namespace: namespace}.Object(t)
		spec := exception.Object["spec"].(map[string]any)
		spec[field] = test.value
		if test.value == nil {
			delete(spec, field)
		}
		err := c.Client.Create(t.Context(), exception, client.FieldValidation("Strict"))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want it refused: %s", field, err, test.want)
		}
	}
}

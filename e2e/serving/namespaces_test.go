package serving_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestUnseenNamespace holds that a namespace whose creation the watch has not told
// of is looked up, and that a pod is refused where that fails: without the labels
// of the namespace it is not known which policies match (CVE-2025-46342).
func TestUnseenNamespace(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	proxy, err := harness.NewProxy(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	s := serve(t, c, harness.ServeOptions{Proxy: proxy})
	stage := c.Namespace(t, nil)
	policy := suite.NewPolicy(t, "stage-"+stage, fmt.Sprintf(
		"{match: {namespaceSelector: {matchLabels: {stage: %s}}}, validate: {podSecurity: {level: baseline}}}", stage))
	c.CreatePolicy(t, policy, s)
	proxy.Freeze()

	bad := func(namespace string) suite.Request {
		spec := suite.GoodSpec()
		spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		object, err := json.Marshal(suite.Pod.New(namespace, "bad", spec))
		if err != nil {
			t.Fatal(err)
		}
		return suite.Request{Kind: suite.Pod, Namespace: namespace, Operation: "CREATE", Object: object}
	}
	unseen := stage + "-unseen"
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: unseen, Labels: map[string]string{"stage": stage}}}
	if err := c.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	response := suite.Review(t, s, "/validate", bad(unseen))
	if response.Allowed || !strings.Contains(response.Result.Message, policy.GetName()+": podSecurity/privileged") {
		t.Errorf("a namespace that the watch has not told of: got %+v, want a refusal by policy %s", response, policy.GetName())
	}

	proxy.Break("/api/v1/namespaces/")
	response = suite.Review(t, s, "/validate", bad(unseen+"-2"))
	if response.Allowed || !strings.Contains(response.Result.Message, "cannot look up namespace") {
		t.Errorf("a namespace that cannot be looked up: got %+v, want a refusal for that reason", response)
	}
	if response.Result != nil && strings.Contains(response.Result.Message, "broken by the test") {
		t.Errorf("the refusal quotes what the API server said: %q", response.Result.Message)
	}
}

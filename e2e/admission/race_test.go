package admission_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestNamespaceAndPodAtOnce is F10: a workload and a Pod follow their namespace faster
// than a watch does, 1,000 times, and each is judged by the policies that the labels
// of the namespace choose. (A Pod needs a service account, which is made between
// them; a Deployment needs none and comes first.)
func TestNamespaceAndPodAtOnce(t *testing.T) {
	t.Parallel()
	const namespaces, workers, longest = 1000, 4, 60 * time.Second
	c := cluster.Cluster(t)
	key := "race-" + c.Namespace(t, nil)
	for name, rule := range map[string]string{"safe": "podSecurity: {level: baseline}", "local": `registries: {deny: ["**"]}`, "labels": "podSecurity: {namespaceLabels: Honor}"} {
		policy := suite.NewPolicy(t, key+"-"+name, fmt.Sprintf("{match: {namespaceSelector: {matchLabels: {%s: %s}}}, validate: {%s}}", key, name, rule))
		c.CreatePolicy(t, policy, c.Server)
	}
	kinds := []struct {
		labels map[string]string
		want   string // empty: admitted
		not    string
	}{
		{map[string]string{key: "safe"}, key + "-safe: podSecurity/privileged", "registries"},
		{map[string]string{key: "local"}, key + "-local: registries/denied", "podSecurity"},
		{map[string]string{key: "labels", api.EnforceLevelLabel: "baseline"}, "podSecurity/privileged", key + "-safe"},
		{map[string]string{key: "neither"}, "", ""},
	}
	check := func(number int, object client.Object) error {
		kind := kinds[number%len(kinds)]
		err := c.Client.Create(t.Context(), object, client.DryRunAll)
		switch {
		case err == nil && kind.want == "":
			return nil
		case err == nil || kind.want == "" || !strings.Contains(err.Error(), kind.want) || strings.Contains(strings.ReplaceAll(err.Error(), object.GetNamespace(), ""), orNever(kind.not)):
			return fmt.Errorf("%T in a namespace with labels %v: got %v, want %q and not %q", object, kind.labels, err, kind.want, kind.not)
		}
		return nil
	}
	once := func(number int) error {
		name := fmt.Sprintf("n%d-%s", number, key)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: kinds[number%len(kinds)].labels}}
		deployment, pod := suite.Deployment.New(name, "web", badSpec()), suite.Pod.New(name, "web", badSpec())
		if err := c.Client.Create(t.Context(), namespace); err != nil {
			return err
		}
		if err := check(number, deployment); err != nil {
			return err
		}
		if err := c.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}); err != nil {
			return err
		}
		return check(number, pod)
	}

	start := time.Now()
	var work sync.WaitGroup
	for worker := range workers {
		work.Go(func() {
			for number := worker; number < namespaces && !t.Failed(); number += workers {
				if time.Since(start) > longest {
					t.Errorf("got as far as namespace %d within %s, want all %d", number, longest, namespaces)
				}
				if err := once(number); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	t.Logf("%d namespaces, each with a Deployment and a Pod, in %s", namespaces, time.Since(start).Round(time.Millisecond))
}

// orNever is a text that is nowhere, for none.
func orNever(text string) string {
	if text == "" {
		return "\x00"
	}
	return text
}

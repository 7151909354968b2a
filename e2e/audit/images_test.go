package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestPinnedImages moves the tag of one image that runs and removes another one from
// the registry, and requires that the report tells so, and of nothing else, and that
// the registry is asked once in an interval.
func TestPinnedImages(t *testing.T) {
	c := cluster.Cluster(t)
	kind := kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", "")
	kind.install(t, c)
	namespace := c.Namespace(t, nil)
	pinned := map[string]string{}
	for _, name := range []string{"same", "moved", "vanished"} {
		image := c.Registry.Host() + "/pinned/" + name + ":1"
		if err := c.Registry.Push(image, harness.Config{User: "1000"}); err != nil {
			t.Fatal(err)
		}
		pinned[name] = c.Registry.Pinned(image)
		spec := suite.GoodSpec()
		spec.Containers[0].Image = pinned[name]
		if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, name, spec)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Registry.Push(c.Registry.Host()+"/pinned/moved:1", harness.Config{User: "2000"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Registry.Push(c.Registry.Host()+"/pinned/vanished:1", harness.Config{User: "2000"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Registry.Remove(pinned["vanished"]); err != nil {
		t.Fatal(err)
	}
	const policy = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: pins}\nspec: {mode: Audit, mutate: {digests: {}}}\n"
	s := serveWith(t, c, policy, harness.ServeOptions{Registries: c.Registry.Config(), Args: []string{"--audit-images=1h"}})
	scans(t, s, 3)
	report, err := dynamic.NewForConfigOrDie(c.Config).Resource(kind.namespaced).Namespace(namespace).Get(t.Context(), "portcullis", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range results(report) {
		result := r.(map[string]any)
		if rule := result["rule"].(string); strings.HasPrefix(rule, "images/") {
			resource := result["resources"].([]any)[0].(map[string]any)
			got[fmt.Sprintf("%s %s", resource["kind"], resource["name"])] = fmt.Sprintf("%s %s: %s", result["result"], rule, result["message"])
		}
	}
	want := map[string]string{
		"StatefulSet moved": fmt.Sprintf("pass images/moved: %q: its tag has moved to %s; in StatefulSet/moved",
			pinned["moved"], strings.TrimPrefix(c.Registry.Pinned(c.Registry.Host()+"/pinned/moved:1"), c.Registry.Host()+"/pinned/moved:1@")),
		"StatefulSet vanished": fmt.Sprintf("warn images/vanished: %q: vanished from its registry: pods that have it cannot be pulled on a new node; in StatefulSet/vanished",
			pinned["vanished"]),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	before := c.Registry.Requests("/pinned/")
	scans(t, s, 2)
	if after := c.Registry.Requests("/pinned/"); after != before {
		t.Errorf("got %d more requests to the registry within the interval, want none", after-before)
	}
}

// Package gitops_test holds that pinning does not make live objects differ from
// what is in Git, for the tools that compare the two: Argo CD, Flux, Helm and
// kubectl. What they apply and the commands are those of docs/gitops.md.
package gitops_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// tagTTL is how long a server of the harness believes what it knows of a tag, even
// where it is asked to resolve it anew.
const tagTTL = time.Second

var (
	shared = suite.New(harness.Options{})
	// prepare is done by the first test.
	prepare sync.Once
	ready   bool
)

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// cluster is the cluster of this package: the document's policy is in force, and
// workloads get pods.
func cluster(t *testing.T) *suite.Cluster {
	t.Helper()
	c := shared.Cluster(t)
	prepare.Do(func() {
		policy := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(example(t, "kind: PodPolicy")), &policy.Object); err != nil {
			t.Fatal(err)
		}
		if err := c.Client.Create(context.Background(), policy); err != nil {
			t.Fatal(err)
		}
		c.WaitForPolicies(t, c.Server)
		// Not before: suite makes the service accounts of its namespaces itself.
		if err := c.StartControllers(); err != nil {
			t.Fatal(err)
		}
		ready = true
	})
	if !ready {
		t.Fatal("the cluster is not ready, as another test says")
	}
	return c
}

// document is docs/gitops.md.
func document(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "gitops.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example is the one code block of the document that contains a text.
func example(t *testing.T, containing string) string {
	t.Helper()
	var found []string
	for i, part := range strings.Split(document(t), "```") {
		if _, code, _ := strings.Cut(part, "\n"); i%2 == 1 && strings.Contains(code, containing) {
			found = append(found, code)
		}
	}
	if len(found) != 1 {
		t.Fatalf("got %d code blocks with %q in docs/gitops.md, want 1", len(found), containing)
	}
	return found[0]
}

// command is the one line of the document's code blocks that starts with a text.
func command(t *testing.T, start string) string {
	t.Helper()
	for line := range strings.Lines(example(t, start)) {
		if strings.HasPrefix(line, start) {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("got no line that starts with %q in the code blocks of docs/gitops.md", start)
	return ""
}

// Package expressions_test puts exported policies in force on a real API server
// that no webhook guards, so that what refuses a workload is the API server.
package expressions_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var cluster = suite.New(harness.Options{Unregistered: true})

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// export writes policies as ValidatingAdmissionPolicies with the built binary. It
// returns them and what was said on standard error.
func export(t *testing.T, c *suite.Cluster, policies ...*unstructured.Unstructured) (objects []*unstructured.Unstructured, left string) {
	t.Helper()
	var text bytes.Buffer
	for _, p := range policies {
		data, err := yaml.Marshal(p.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "---\n%s", data)
	}
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), c.Binary, "export", "vap", "--policy", file)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("portcullis export vap: %v: %s", err, stderr.String())
	}
	for document := range bytes.SplitSeq(output, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			t.Fatal(err)
		}
		if object.Object != nil {
			objects = append(objects, object)
		}
	}
	return objects, stderr.String()
}

// enforce creates exported objects, which go with the test.
func enforce(t *testing.T, c *suite.Cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s %s: %v", object.GetKind(), object.GetName(), err)
		}
		t.Cleanup(func() {
			if err := c.Client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
				t.Errorf("deleting %s %s: %v", object.GetKind(), object.GetName(), err)
			}
		})
	}
}

// waitForRefusal tries something until it is refused by one of our policies: they
// are in force some time after they were created.
func waitForRefusal(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := try()
		if err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'portcullis-") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want a refusal by an exported policy", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

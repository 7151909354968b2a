package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// TestReferenceIsFresh holds that the document that is kept is the one of the CRDs.
func TestReferenceIsFresh(t *testing.T) {
	want, err := document(filepath.Join(root, "manifests", "crds"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "docs", "policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/policies.md is stale, run make generate (-CRDs +document):\n%s", diff)
	}
}

// TestReferenceSays looks for what each part of a field's schema has to become.
func TestReferenceSays(t *testing.T) {
	text, err := document(filepath.Join(root, "manifests", "crds"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| `mode` | `Enforce`, `Warn`, `Audit` | What a violation does. ",  // allowed values
		"| **`owner`** | string | ",                                        // required
		"| `namespaces` | list of strings, at most 256 | ",                 // a limit
		"| `namespaceSelector` | LabelSelector | ",                         // a type of Kubernetes
		"Default: Enforce. A rule may set its own mode. |",                 // a default
		"Example: `[{rule: validate.podSecurity, checks: [hostPorts]}]` |", // an example
		"\n### `spec.validate.expressions[].variables[]`\n",                // objects in lists
		"Its fields are those of `spec.mutate.probes.catalog[].",           // what looks the same
		"| `endsAt` | time | ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("got no %q in the document", line)
		}
	}
}

func TestReferenceErrors(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "portcullis.dev_podpolicies.yaml"), []byte("spec: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := document(folder); err == nil || !strings.HasPrefix(err.Error(), `reading the CRD of "podpolicies": `) {
		t.Errorf("got error %v, want one that names the CRD", err)
	}
}

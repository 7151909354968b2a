package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/portcullis-dev/portcullis"

// TestImportDirection keeps imports pointing one way:
// cmd -> {webhook, audit, report} -> engine -> {mutate, validate} -> {policies, image, pod},
// audit -> report, whose results it keeps, and {webhook, audit} -> {presence, denials}, which
// one writes and the other one reads.
func TestImportDirection(t *testing.T) {
	leaves := []string{"policies", "policies/expression", "image", "image/lock", "pod", "pod/security"}
	core := append([]string{"mutate", "validate"}, leaves...)
	front := append([]string{"engine"}, core...)
	mayImport := map[string][]string{
		"pod":                         nil,
		"pod/security":                {"pod"},
		"pod/podtest":                 {"pod"},
		"image":                       nil,
		"image/lock":                  {"image"},
		"policies":                    {"policies/expression"},
		"policies/expression":         nil,
		"policies/vap":                {"policies", "policies/expression"},
		"policies/reference":          nil,
		"input":                       {"input/lines", "pod"},
		"input/lines":                 nil,
		"input/rewrite":               {"input/lines", "pod"},
		"report":                      front,
		"report/wgpolicy":             nil,
		"mutate":                      leaves,
		"validate":                    leaves,
		"engine":                      core,
		"cloudevents":                 {"image"},
		"cloudevents/cloudeventstest": {"cloudevents"},
		"presence":                    nil,
		"denials":                     nil,
		"webhook":                     append([]string{"cloudevents", "denials", "presence"}, front...),
		"audit":                       append([]string{"cloudevents", "denials", "presence", "report"}, front...),
		"cmd/portcullis":              append([]string{"cloudevents", "denials", "presence", "webhook", "audit", "input", "input/rewrite", "report", "policies/vap"}, front...),
	}
	onlyIn := map[string][]string{
		"github.com/google/go-containerregistry": {"image"},
		"sigs.k8s.io/controller-runtime":         {"webhook", "audit", "cmd/portcullis"},
	}
	seen := map[string]bool{}
	for name, imports := range listPackages(t) {
		if top, _, _ := strings.Cut(name, "/"); top == "e2e" || top == "bench" {
			// They drive the product from outside.
			for _, path := range imports {
				if own, ok := strings.CutPrefix(path, module+"/"); ok && !strings.HasPrefix(own, "e2e/") && !strings.HasPrefix(own, "bench/") {
					t.Errorf("%s imports %s, and may import no package of the product", name, own)
				}
			}
			continue
		}
		seen[name] = true
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the list of packages; say here what it may import", name)
		}
		for _, path := range imports {
			if own, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, want only %v", name, own, allowed)
			}
			for library, users := range onlyIn {
				if strings.HasPrefix(path, library) && !slices.Contains(users, name) {
					t.Errorf("%s imports %s, which is for %v", name, path, users)
				}
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("%s is in the list and not in the module", name)
		}
	}
}

// listPackages returns the imports of each package of the module, without those
// of its tests.
func listPackages(t *testing.T) map[string][]string {
	t.Helper()
	output, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("listing packages: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, module+"/")] = p.Imports
	}
	return packages
}

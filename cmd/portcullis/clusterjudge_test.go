package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestClusterJudge requires that the audit finds in the objects of all case files
// what check finds in the files, with answers of registries too, and that it knows
// which answers that rests on.
func TestClusterJudge(t *testing.T) {
	list, err := policies.Load([]byte(everyRule), "parity.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	namespaces := map[string]map[string]string{}
	for _, name := range []string{"default", "web"} {
		namespaces[name] = map[string]string{"tier": "gold", namespaceNameLabel: name, "pod-security.kubernetes.io/warn": "baseline"}
	}
	audited, err := newClusterJudge(&judge{engine: core, policies: set, images: parityImages{}}, "1", []string{"latest"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../validate/testdata/*/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("got %d case files, %v, want at least 50", len(files), err)
	}
	asked := 0
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "../../validate/testdata/"), func(t *testing.T) {
			c := &checker{judge: &judge{engine: core, policies: set, images: parityImages{}, namespaces: namespaces}, log: io.Discard}
			if err := c.check(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{file}})); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w, err := pod.DecodeYAML(data)
			if err != nil {
				t.Fatal(err)
			}
			name := w.Metadata.Namespace
			if name == "" {
				name = "default"
			}
			got := audited.Judge(t.Context(), engine.Review{Workload: w, Namespace: engine.Namespace{Name: name, Labels: namespaces[name]}})
			if diff := cmp.Diff(findingsIn(c.report.Results), findingsIn(got.Findings)); diff != "" {
				t.Errorf("-check +audit:\n%s", diff)
			}
			if got.Passed != c.report.Summary.Pass || len(got.Readiness) != 2 {
				t.Errorf("got %d passed, readiness %v, want %d, and both levels", got.Passed, got.Readiness, c.report.Summary.Pass)
			}
			for _, need := range got.Needs {
				if _, ok := got.Facts[need.Image]; !ok {
					t.Errorf("got no fact about %q, which was asked for", need.Image)
				}
			}
			asked += len(got.Needs)
		})
	}
	if asked < len(files) {
		t.Errorf("got %d needs in %d files, although digests are pinned", asked, len(files))
	}
}

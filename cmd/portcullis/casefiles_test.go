package main

import (
	stdcmp "cmp"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
)

// caseFolder has the objects by which the rules are tested, each of which has to get
// one verdict wherever it is judged.
const caseFolder = "../../validate/testdata/"

// caseFile is one of these objects.
type caseFile struct {
	path, namespace string
	text, object    []byte // as YAML and as JSON
}

// caseFiles are those that match a pattern, of which there have to be enough.
func caseFiles(t *testing.T, pattern string, atLeast int) []caseFile {
	t.Helper()
	paths, err := filepath.Glob(caseFolder + pattern)
	if err != nil || len(paths) < atLeast {
		t.Fatalf("got %d case files, %v, want at least %d", len(paths), err, atLeast)
	}
	files := make([]caseFile, len(paths))
	for i, path := range paths {
		f := caseFile{path: path}
		if f.text, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if f.object, err = yaml.YAMLToJSON(f.text); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		f.namespace = stdcmp.Or(f.workload(t).Metadata.Namespace, "default")
		files[i] = f
	}
	return files
}

func (f caseFile) name() string { return strings.TrimPrefix(f.path, caseFolder) }

// workload is read anew for each who asks, since mutators change it.
func (f caseFile) workload(t *testing.T) *pod.Workload {
	t.Helper()
	w, err := pod.DecodeYAML(f.text)
	if err != nil {
		t.Fatalf("%s: %v", f.path, err)
	}
	return w
}

// review is the question about it that the engine gets of a judge.
func (f caseFile) review(t *testing.T, j *judge) engine.Review {
	t.Helper()
	r := engine.Review{Workload: f.workload(t), Namespace: engine.Namespace{Name: f.namespace, Labels: j.namespaces[f.namespace]}, Now: j.now}
	r.Request.Object = f.object
	return r
}

// check judges the file as the command does.
func (f caseFile) check(t *testing.T, j *judge) *checker {
	t.Helper()
	c := &checker{judge: j, log: io.Discard}
	if err := c.check(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{f.path}})); err != nil {
		t.Fatal(err)
	}
	return c
}

// parityJudge judges by policies with the images of parityImages and the namespaces
// that the case files name.
func parityJudge(t *testing.T, text string) *judge {
	t.Helper()
	j := judgeBy(t, text)
	j.images, j.namespaces = parityImages{}, map[string]map[string]string{}
	for _, name := range []string{"default", "web"} {
		j.namespaces[name] = map[string]string{"tier": "gold", namespaceNameLabel: name, "pod-security.kubernetes.io/warn": "baseline"}
	}
	return j
}

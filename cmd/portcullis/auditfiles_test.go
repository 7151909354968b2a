package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/report"
)

const (
	auditBundle = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: base}
spec: {validate: {podSecurity: {level: baseline}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tier: gold}}
`
	auditCandidate = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: candidate}
spec: {match: {namespaceSelector: {matchLabels: {tier: gold}}}, validate: {podSecurity: {level: restricted}}}
`
	auditManifests = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {hostNetwork: true, containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: quiet, namespace: other}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
`
)

// TestAuditFiles audits manifests by the bundle of a cluster, and by a candidate with
// the labels of its namespaces.
func TestAuditFiles(t *testing.T) {
	folder := t.TempDir()
	save := func(name, text string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bundle, candidate := save("bundle.yaml", auditBundle), save("candidate.yaml", auditCandidate)
	deploy := filepath.Dir(save("deploy/all.yaml", auditManifests))
	audited := func(code int, args ...string) *report.Audit {
		t.Helper()
		got := execute(t, "", append([]string{"audit", "-o", "json"}, args...)...)
		var found report.Audit
		if err := json.Unmarshal([]byte(got.stdout), &found); err != nil || got.code != code {
			t.Fatalf("%v: got exit code %d, %v, %s, want %d", args, got.code, err, got.stderr, code)
		}
		return &found
	}
	all := audited(1, "--bundle", bundle, deploy)
	var checked report.Report
	if err := json.Unmarshal([]byte(execute(t, "", "check", "-o", "json", "--bundle", bundle, deploy).stdout), &checked); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(findingsIn(checked.Results), findingsIn(all.Results)); diff != "" || len(all.Results) != 1 {
		t.Errorf("-check +audit:\n%s", diff)
	}
	if found := all.Results[0]; !strings.HasSuffix(found.Source, "all.yaml") || found.Line == 0 {
		t.Errorf("got a finding in %s, line %d, want its file and its line", found.Source, found.Line)
	}
	want := []report.NamespaceCounts{{Namespace: "other", Workloads: 1, Pods: 1}, {Namespace: "shop", Workloads: 1, Denied: 1}}
	if diff := cmp.Diff(want, all.Namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	ready := map[string]bool{}
	for _, cell := range all.Readiness {
		ready[cell.Namespace+" "+cell.Level] = cell.Ready()
	}
	if diff := cmp.Diff(map[string]bool{"other baseline": true, "other restricted": false, "shop baseline": false, "shop restricted": false}, ready); diff != "" {
		t.Errorf("readiness (-want +got):\n%s", diff)
	}
	if found := audited(0, "--bundle", bundle, "--namespace", "other", deploy); found.Summary.Objects != 1 {
		t.Errorf("one namespace: got %d objects, want 1", found.Summary.Objects)
	}
	if found := audited(1, "--bundle", bundle, "--policy", candidate, deploy); found.Summary.Fail < 4 || found.Summary.Unmatched != 1 {
		t.Errorf("a candidate with the labels of the bundle: got %+v, want the Deployment refused and the Pod unmatched", found.Summary)
	}
	if found := audited(0, "--policy", candidate, deploy); found.Summary.Unmatched != 2 {
		t.Errorf("without labels: got %+v, want both unmatched", found.Summary)
	}
	save("deploy/broken.yaml", "a: [\n")
	if found := audited(2, "--bundle", bundle, deploy); found.Summary.Fail != 1 || len(found.Unseen) != 1 || !strings.Contains(found.Unseen[0], "broken.yaml") {
		t.Errorf("a broken file: got %d failures, unseen %q, want the rest judged", found.Summary.Fail, found.Unseen)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--bundle", bundle}, "it is for manifests in the place of a cluster; name their files or folders"},
		{[]string{"--kubeconfig", "k", deploy}, "it is for a cluster, and "},
	} {
		if got := execute(t, "", append([]string{"audit"}, test.args...)...); got.code != 2 || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%v: got %d %q, want 2 and %q", test.args, got.code, got.stderr, test.want)
		}
	}
}

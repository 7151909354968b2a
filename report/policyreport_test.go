package report

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestPolicyReport(t *testing.T) {
	got := write(t, "policyreport", sample(), sampleOptions)
	golden(t, "policyreport.yaml", got)
	requirePolicyReports(t, got)
	var namespaces []string
	for _, p := range policyReports(t, got) {
		namespaces = append(namespaces, p.Metadata.Namespace)
	}
	if diff := cmp.Diff([]string{"", "shop"}, namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func policyReports(t testing.TB, data []byte) []policyReport {
	t.Helper()
	var all []policyReport
	for _, document := range bytes.Split(data, []byte("\n---\n")) {
		var p policyReport
		if err := yaml.UnmarshalStrict(document, &p); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		all = append(all, p)
	}
	return all
}

// requirePolicyReports requires what the CRD of wgpolicyk8s.io/v1alpha2 does, in
// its oldest form, and a summary that counts the results.
func requirePolicyReports(t testing.TB, data []byte) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range policyReports(t, data) {
		if seen[p.Metadata.Namespace] {
			t.Errorf("got two reports on namespace %q", p.Metadata.Namespace)
		}
		seen[p.Metadata.Namespace] = true
		if p.APIVersion != "wgpolicyk8s.io/v1alpha2" || p.Kind != "PolicyReport" || p.Metadata.Name == "" {
			t.Errorf("got %s %s %q", p.APIVersion, p.Kind, p.Metadata.Name)
		}
		counted := &Report{}
		for _, r := range p.Results {
			counted.Add(Result{Result: r.Result})
			if r.Policy == "" {
				t.Errorf("got a result without a policy, which is required: %+v", r)
			}
			if !slices.Contains([]Outcome{Pass, Fail, Warn, Error, Skip}, r.Result) {
				t.Errorf("got result %q", r.Result)
			}
			if !slices.Contains([]string{"", "high", "medium", "low"}, r.Severity) {
				t.Errorf("got severity %q", r.Severity)
			}
		}
		s := counted.Summary
		if want := (policyReportSummary{s.Pass, s.Fail, s.Warn, s.Error, s.Skip}); p.Summary != want {
			t.Errorf("namespace %q: got summary %+v, want %+v", p.Metadata.Namespace, p.Summary, want)
		}
	}
}

func TestAPIVersion(t *testing.T) {
	for kind, want := range map[string]string{"Pod": "v1", "Deployment": "apps/v1", "CronJob": "batch/v1", "Rollout": ""} {
		if got := apiVersion(kind); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
}

package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

// TestClusterJudge requires that the audit finds in the objects of all case files
// what check finds in the files, with answers of registries too, and that it knows
// which answers that rests on.
func TestClusterJudge(t *testing.T) {
	j := parityJudge(t, everyRule)
	audited, err := newClusterJudge(j, "1", []string{"latest"})
	if err != nil {
		t.Fatal(err)
	}
	files := caseFiles(t, "*/*.yaml", 50)
	asked := 0
	for _, file := range files {
		t.Run(file.name(), func(t *testing.T) {
			c := file.check(t, j)
			review := file.review(t, j)
			review.Request = validate.Request{} // which a scan has not
			got := audited.Judge(t.Context(), review)
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

// TestClusterJudgePolicies holds which policies are for a workload, and what
// exceptions are good for, as the status of policies and the page count them.
func TestClusterJudgePolicies(t *testing.T) {
	list, exceptions, err := policies.LoadAll(policies.ExceptionTerms{Ended: true}, "../../examples/exception.yaml")
	if err != nil {
		t.Fatal(err)
	}
	other, err := policies.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: pinned}\nspec: {mutate: {digests: {}}}\n"), "pinned.yaml")
	if err != nil {
		t.Fatal(err)
	}
	exceptions[0].CreationTimestamp.Time = exceptions[0].Spec.ExpiresAt.Add(-240 * time.Hour)
	set, err := rules{policies: append(list, other...), exceptions: exceptions}.compile()
	if err != nil {
		t.Fatal(err)
	}
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	now := exceptions[0].Spec.ExpiresAt.Add(-time.Hour)
	audited, err := newClusterJudge(&judge{engine: core, policies: set, now: now}, "1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, namespace, port string
		policies              []string
		needed                []int // of each exception
	}{
		{"exempt", "monitoring", "{containerPort: 9100, hostPort: 9100}", []string{"pinned", "production"}, []int{1}},
		{"covered without need", "monitoring", "{containerPort: 9100}", []string{"pinned", "production"}, []int{0}},
		{"elsewhere", "shop", "{containerPort: 9100}", []string{"pinned", "production"}, nil},
		{"out of reach of one", "kube-system", "{containerPort: 9100}", []string{"pinned"}, nil},
	} {
		w, err := pod.DecodeYAML(fmt.Appendf(nil, "apiVersion: v1\nkind: Pod\nmetadata: {name: node-exporter, namespace: %s}\nspec: {containers: [{name: node-exporter, image: quay.io/prometheus/node-exporter:v1, ports: [%s]}]}\n", test.namespace, test.port))
		if err != nil {
			t.Fatal(err)
		}
		got := audited.Judge(t.Context(), engine.Review{Workload: w, Namespace: engine.Namespace{Name: test.namespace, Labels: map[string]string{"pod-security.kubernetes.io/warn": "baseline"}}})
		slices.Sort(got.Policies)
		var needed []int
		for _, use := range got.Exceptions {
			needed = append(needed, use.Needed)
		}
		if !slices.Equal(got.Policies, test.policies) || !slices.Equal(needed, test.needed) {
			t.Errorf("%s: got policies %v and needs %v of exceptions, want %v and %v", test.name, got.Policies, needed, test.policies, test.needed)
		}
	}
}

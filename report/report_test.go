package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sampleTime and sampleOptions make outputs that do not change from run to run.
var (
	sampleTime    = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	sampleOptions = Options{Version: "v1.2.3", Time: sampleTime}
)

// sample is a report with each kind of result, delivered out of order.
func sample() *Report {
	web := Result{Source: "deploy/web.yaml", Document: 2, Kind: "Deployment", Namespace: "shop", Name: "web", Policy: "production", Mode: "Enforce"}
	finding := func(base Result, change func(*Result)) Result {
		change(&base)
		return base
	}
	job := Result{Source: "deploy/job.yaml", Document: 1, Kind: "CronJob", Name: "nightly"}
	r := &Report{}
	r.Add(
		finding(web, func(r *Result) {
			r.Rule, r.Check, r.Result, r.Container = "podSecurity", "privileged", Fail, "app"
			r.Field, r.Value, r.Line, r.Column = "spec.template.spec.containers[0].securityContext.privileged", true, 31, 25
			r.Message, r.Fix = "forbidden by Pod Security baseline:latest (privileged)", "set it to false"
		}),
		finding(web, func(r *Result) {
			r.Rule, r.Check, r.Result = "podSecurity", "runAsNonRoot", Fail
			r.Field, r.Line, r.Column = "spec.template.spec.securityContext.runAsNonRoot", 18, 7
			r.Message, r.Fix = "required by Pod Security restricted:latest (runAsNonRoot != true)", "set it to true"
		}),
		finding(web, func(r *Result) {
			r.Rule, r.Check, r.Result, r.Container, r.Mode = "digests", "required", Warn, "app", "Warn"
			r.Field, r.Value, r.Line, r.Column = "spec.template.spec.containers[0].image", "registry.example.com/shop/web:1.4", 27, 16
			r.Message, r.Fix = "it has no digest, so that it may be another image tomorrow", "add the digest of the image (@sha256:...), or let mutate.digests add it"
		}),
		finding(web, func(r *Result) {
			r.Rule, r.Result, r.Message = "rootUser", Skip, "no registry is contacted without --online"
		}),
		finding(web, func(r *Result) { r.Rule, r.Result = "registries", Pass }),
	)
	r.Add(
		finding(job, func(r *Result) {
			r.Policy, r.Mode, r.Rule, r.Check, r.Result, r.Container = "production", "Audit", "registries", "notAllowed", Warn, "run"
			r.Field, r.Value, r.Line, r.Column = "spec.jobTemplate.spec.template.spec.containers[0].image", "nginx"+strings.Repeat("x", 300), 14, 20
			r.Message, r.Fix = "it comes from docker.io/library/nginx, which the policy does not allow", "use an image that matches registry.example.com/**"
		}),
		finding(job, func(r *Result) {
			r.Policy, r.Mode, r.Rule, r.Result, r.Message = "production", "Enforce", "rootUser", Skip, "no registry is contacted without --online"
		}),
		Result{Source: "deploy/broken.yaml", Document: 3, Line: 40, Column: 3, Rule: InputRule, Result: Error, Message: "a tab cannot indent YAML", Fix: "indent with spaces"},
	)
	r.Summary.Objects, r.Summary.Files, r.Summary.NotWorkloads, r.Summary.Unmatched = 3, 4, 2, 1
	return r
}

// write is Write into memory.
func write(t testing.TB, format Format, r *Report, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// golden compares with testdata/golden/NAME, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test ./report -update writes it anew):\n%s", path, diff)
	}
}

func TestAddCounts(t *testing.T) {
	r := &Report{Summary: Summary{Objects: 2, Files: 3, NotWorkloads: 4, Unmatched: 1}}
	r.Add(Result{Result: Pass}, Result{Result: Fail}, Result{Result: Warn}, Result{Result: Warn}, Result{Result: Skip}, Result{Result: Error}, Result{Result: "unheard-of"})
	r.Add(Result{Result: Fail})
	want := Summary{Objects: 2, Pass: 1, Fail: 2, Warn: 2, Error: 2, Skip: 1, Files: 3, NotWorkloads: 4, Unmatched: 1}
	if diff := cmp.Diff(want, r.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// TestOrder requires that every format writes the same bytes whatever the order
// in which workers deliver objects.
func TestOrder(t *testing.T) {
	forward := sample()
	var objects [][]Result
	for _, r := range forward.Results {
		if n := len(objects); n > 0 && keyOf(objects[n-1][0]) == keyOf(r) {
			objects[n-1] = append(objects[n-1], r)
			continue
		}
		objects = append(objects, []Result{r})
	}
	backward := &Report{Summary: Summary{Objects: 3, Files: 4, NotWorkloads: 2, Unmatched: 1}}
	for i := len(objects) - 1; i >= 0; i-- {
		backward.Add(objects[i]...)
	}
	if cmp.Equal(forward.Results, backward.Results) {
		t.Fatal("the results come in the same order, so that the test shows nothing")
	}
	for _, format := range Formats() {
		if diff := cmp.Diff(string(write(t, format, forward, sampleOptions)), string(write(t, format, backward, sampleOptions))); diff != "" {
			t.Errorf("%s depends on the order (-forward +backward):\n%s", format, diff)
		}
	}
}

// TestOrderKeys requires that each thing that tells objects apart orders them.
func TestOrderKeys(t *testing.T) {
	first := Result{Source: "a", Document: 1, Kind: "A", Namespace: "a", Name: "a"}
	for name, change := range map[string]func(*Result){
		"source":    func(r *Result) { r.Source = "b" },
		"document":  func(r *Result) { r.Document = 2 },
		"kind":      func(r *Result) { r.Kind = "B" },
		"namespace": func(r *Result) { r.Namespace = "b" },
		"name":      func(r *Result) { r.Name = "b" },
	} {
		second := first
		change(&second)
		r := &Report{Results: []Result{second, first, second}}
		if diff := cmp.Diff([]Result{first, second, second}, r.sorted()); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", name, diff)
		}
	}
}

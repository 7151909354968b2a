package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
	"github.com/portcullis-dev/portcullis/webhook"
)

const exceptionFiles = "testdata/exceptions/policies.yaml"

// exceptionsNow is the time in these tests.
var exceptionsNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// exceptionJudge judges by the files of these tests at a time.
func exceptionJudge(t *testing.T, now time.Time) *judge {
	t.Helper()
	list, exceptions, err := policies.LoadAll(policies.ExceptionTerms{Now: now, Ended: true}, exceptionFiles)
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules{policies: list, exceptions: exceptions}.compile()
	if err != nil {
		t.Fatal(err)
	}
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	return &judge{engine: core, policies: set, list: list, now: now}
}

// TestCheckExceptions has one object that an exception exempts, one that it does
// not, and an exception that nobody needs, in every format.
func TestCheckExceptions(t *testing.T) {
	c := &checker{judge: exceptionJudge(t, exceptionsNow), log: io.Discard}
	if err := c.check(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{"testdata/exceptions/pods.yaml"}})); err != nil {
		t.Fatal(err)
	}
	if c.failed != 1 {
		t.Errorf("got %d failed, want 1: the pod that no exception covers", c.failed)
	}
	for _, format := range report.Formats() {
		if format == "html" {
			continue // package report has its tests
		}
		var out bytes.Buffer
		if err := report.Write(&out, format, &c.report, report.Options{Version: "v1", Time: exceptionsNow}); err != nil {
			t.Fatal(err)
		}
		golden(t, "exceptions/check."+string(format)+".golden", out.String())
	}
}

func TestExplainExceptions(t *testing.T) {
	var out bytes.Buffer
	e := &explainer{judge: exceptionJudge(t, exceptionsNow), out: &out}
	e.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{"testdata/exceptions/pods.yaml"}}), io.Discard)
	golden(t, "exceptions/explain.txt", withoutTimes(out.String()))
}

// withoutTimes leaves out the lines that differ from run to run.
func withoutTimes(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "  time: ") })
	return strings.Join(lines, "\n")
}

// TestCheckExceptionEnds goes over the end of an exception.
func TestCheckExceptionEnds(t *testing.T) {
	end := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, test := range []struct {
		now    time.Time
		failed int
	}{{end.Add(-time.Second), 1}, {end.Add(-time.Nanosecond), 1}, {end, 2}} {
		c := &checker{judge: exceptionJudge(t, test.now), log: io.Discard}
		if err := c.check(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{"testdata/exceptions/pods.yaml"}})); err != nil {
			t.Fatal(err)
		}
		if c.failed != test.failed {
			t.Errorf("at %s: got %d failed, want %d", test.now.Format(time.RFC3339Nano), c.failed, test.failed)
		}
	}
}

// TestCheckExceptionFiles goes through the command line: what it refuses of
// exceptions, and what it honours.
func TestCheckExceptionFiles(t *testing.T) {
	folder := t.TempDir()
	save := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: {podSecurity: {level: baseline}}}\n"
	exception := func(namespace, fields string, ends time.Time) string {
		return fmt.Sprintf("---\napiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: e, namespace: %s}\nspec: {%s reason: because, policies: [p], rules: [{rule: validate.podSecurity}], match: {namespaces: [default]}, expiresAt: %q}\n",
			namespace, fields, ends.UTC().Format(time.RFC3339))
	}
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	pod := save("pod.yaml", badPod)
	for _, test := range []struct {
		name, policies string
		flags          []string
		code           int
		stderr         string
	}{
		{name: "none", policies: policy, code: 1},
		{name: "one in force", policies: policy + exception("portcullis-system", "owner: a,", in(time.Hour))},
		{
			name: "one that has ended", policies: policy + exception("portcullis-system", "owner: a,", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), code: 1,
			stderr: `portcullis: PolicyException "portcullis-system/e": spec.expiresAt: 2026-01-01T00:00:00Z has passed, so that it would cover nothing; write a later time, or delete the exception`,
		},
		{
			name: "one without an owner", policies: policy + exception("portcullis-system", "", in(time.Hour)), code: 2,
			stderr: "document 2, line 9: spec.owner: is missing; name the person or team that answers for the exception",
		},
		{
			name: "one that lasts too long", policies: policy + exception("portcullis-system", "owner: a,", in(721*time.Hour)), code: 2,
			stderr: `is later than policy "p" allows, 720h after its creation; write `,
		},
		{
			name: "one that does not count", policies: policy + exception("team-a", "owner: a,", in(time.Hour)), code: 2,
			stderr: `metadata.namespace: exceptions in "team-a" do not count; create it in portcullis-system, or have the admin add the namespace to --exception-namespaces`,
		},
		{name: "one that the admin lets count", policies: policy + exception("team-a", "owner: a,", in(time.Hour)), flags: []string{"--exception-namespaces=team-a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"check", "--policy", save("policies.yaml", test.policies), pod}, test.flags...)
			got := execute(t, "", args...)
			if got.code != test.code || !strings.Contains(got.stderr, test.stderr) || test.stderr == "" && got.stderr != "" {
				t.Errorf("got %+v, want exit code %d and an error with %q", got, test.code, test.stderr)
			}
		})
	}
	bundle := save("bundle.yaml", policy+exception("somewhere", "owner: a,", in(time.Hour)))
	if got := execute(t, "", "check", "--bundle", bundle, pod); got.code != 0 {
		t.Errorf("--bundle: got %+v, want exit code 0", got)
	}
	test := save("test.yaml", "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: t}\npolicies: [bundle-2026.yaml]\nnow: \"2026-11-21T12:00:00Z\"\n"+
		"cases: [{name: a, object: pod.yaml, expect: {result: exempt, findings: [{check: hostNamespaces, result: exempt}]}}]\n")
	save("bundle-2026.yaml", policy+exception("portcullis-system", "owner: a,", time.Date(2026, 11, 21, 12, 0, 1, 0, time.UTC)))
	if got := execute(t, "", "test", test); got.code != 0 {
		t.Errorf("test: got %+v, want exit code 0", got)
	}
}

// TestParityOfExceptions requires the same of exempt findings as TestParity does
// of others: engine, command line and webhook say the same, in the same words.
func TestParityOfExceptions(t *testing.T) {
	j := parityJudge(t, parityPolicies)
	j.now = exceptionsNow
	e := &policies.PolicyException{ObjectMeta: metav1.ObjectMeta{Namespace: "portcullis-system", Name: "e"}, Spec: policies.PolicyExceptionSpec{
		Owner: "team-a", Reason: "because", Policies: []string{"pod-security", "images"}, ExpiresAt: metav1.NewTime(exceptionsNow.Add(time.Hour)),
		Rules: []policies.ExceptionRule{{Rule: "validate.podSecurity"}, {Rule: "validate.rootUser"}}, Match: policies.ExceptionMatch{Namespaces: []string{"default", "web"}},
	}}
	var err error
	if j.policies, err = j.policies.WithExceptions([]*policies.PolicyException{e}); err != nil {
		t.Fatal(err)
	}
	handler, err := webhook.Rehearsal{Policies: j.policies, Namespaces: j.namespaces, Images: j.images, Now: func() time.Time { return exceptionsNow }}.Handler()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range caseFiles(t, "*/fail-*.yaml", 30) {
		var byCheck []string
		for _, r := range file.check(t, j).report.Results {
			if r.Exemption != nil {
				byCheck = append(byCheck, fmt.Sprintf("%s/%s %s %s", r.Policy, r.Check, r.Field, r.Message))
			}
		}
		var byEngine, lines []string
		for _, f := range exemptDirectly(t, j, file) {
			byEngine = append(byEngine, fmt.Sprintf("%s/%s %s %s: %s", f.Policy, f.Check, f.Path, f.Exempt, f.Message))
			lines = append(lines, fmt.Sprintf("%s: %s", f.Exempt, f))
		}
		total += len(lines)
		if diff := cmp.Diff(byEngine, byCheck); diff != "" {
			t.Errorf("%s: -engine +check:\n%s", file.path, diff)
		}
		_, validation := reviews(t, handler, file)
		if diff := cmp.Diff(lines, annotated(validation, "exempt")); diff != "" {
			t.Errorf("%s: -engine +webhook:\n%s", file.path, diff)
		}
	}
	if total < 50 {
		t.Errorf("got %d exempt findings in all, want at least 50", total)
	}
}

// exemptDirectly are the findings that the engine alone says are exempt.
func exemptDirectly(t *testing.T, j *judge, file caseFile) []engine.Finding {
	t.Helper()
	_, checked := judgeDirectly(t, j, file)
	return slices.DeleteFunc(checked, func(f engine.Finding) bool { return f.Exempt == nil })
}

// TestParityOfExceptionsForOtherImages has exceptions whose images or containers the
// workload does not have beside one that it does not need: check, explain, webhook and
// scan tell of that one alone.
func TestParityOfExceptionsForOtherImages(t *testing.T) {
	j := parityJudge(t, parityPolicies)
	j.now = exceptionsNow
	var all []*policies.PolicyException
	for name, match := range map[string]policies.ExceptionMatch{
		"images":     {Images: []string{"registry.example.com/other"}},
		"containers": {Containers: []string{"other"}},
		"both":       {Containers: []string{"app"}, Images: []string{"registry.example.com/side"}},
		"idle":       {Images: []string{"registry.example.com/app"}},
	} {
		match.Namespaces = []string{"web"}
		all = append(all, &policies.PolicyException{ObjectMeta: metav1.ObjectMeta{Namespace: "sys", Name: name}, Spec: policies.PolicyExceptionSpec{
			Owner: "team-a", Reason: "because", Policies: []string{"pod-security"}, ExpiresAt: metav1.NewTime(exceptionsNow.Add(time.Hour)),
			Rules: []policies.ExceptionRule{{Rule: "validate.podSecurity", Checks: []string{"hostPorts"}}}, Match: match,
		}})
	}
	var err error
	if j.policies, err = j.policies.WithExceptions(all); err != nil {
		t.Fatal(err)
	}
	file := caseFile{path: filepath.Join(t.TempDir(), "pod.yaml"), namespace: "web", object: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"web"},"spec":{"containers":[
		{"name":"app","image":"registry.example.com/app:1"},{"name":"side","image":"registry.example.com/side:1"}]}}`)}
	file.text = file.object
	if err := os.WriteFile(file.path, file.text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"sys/idle"}
	told := func(by string, uses []report.ExceptionUse) {
		t.Helper()
		var got []string
		for _, u := range uses {
			got = append(got, u.Exception)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", by, diff)
		}
	}
	told("check", file.check(t, j).report.Exceptions)
	audited, err := newClusterJudge(j, "1", nil)
	if err != nil {
		t.Fatal(err)
	}
	told("scan", audited.Judge(t.Context(), file.review(t, j)).Exceptions)
	if diff := cmp.Diff(want, audited.Excepting("web", file.workload(t))); diff != "" {
		t.Errorf("what the scan goes by (-want +got):\n%s", diff)
	}
	var out bytes.Buffer
	e := &explainer{judge: j, out: &out}
	e.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{file.path}}), io.Discard)
	if got := strings.Count(out.String(), "    sys/"); got != 1 || !strings.Contains(out.String(), "    sys/idle of ") {
		t.Errorf("explain: got %d exceptions, want sys/idle:\n%s", got, &out)
	}
	handler, err := webhook.Rehearsal{Policies: j.policies, Namespaces: j.namespaces, Images: j.images, Now: func() time.Time { return exceptionsNow }}.Handler()
	if err != nil {
		t.Fatal(err)
	}
	_, validation := reviews(t, handler, file)
	if diff := cmp.Diff(want, annotated(validation, "exceptions-not-needed")); diff != "" {
		t.Errorf("webhook (-want +got):\n%s", diff)
	}
}

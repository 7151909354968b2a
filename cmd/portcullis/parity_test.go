package main

import (
	stdcmp "cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
	"github.com/portcullis-dev/portcullis/webhook"
)

// ownRules are expressions over all that a file tells.
const ownRules = `
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: own}
spec:
  mode: Warn
  validate:
    expressions:
    - {name: team, expression: 'has(pod.metadata.labels) && "team" in pod.metadata.labels', message: every pod names its team}
    - {name: named, expression: 'object.metadata.name != "example" && object.spec == object.spec', messageExpression: '"it is called " + object.metadata.name'}
    - {name: source, expression: 'pod.spec.containers.all(c, "source" in image(c).labels)'}
    - {name: namespace, expression: 'namespaceObject.metadata.labels["tier"] == "silver" || request.operation != "CREATE"'}
    - {name: error, mode: Audit, expression: 'pod.spec.hostAliases.all(a, a.ip != "127.0.0.1")'}
`

// parityPolicies have the rules about images and users, in one mode each.
const parityPolicies = `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: pod-security}
spec: {validate: {podSecurity: {level: restricted}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: images}
spec:
  mode: Warn
  mutate: {digests: {}}
  validate:
    rootUser: {}
    digests: {forbidTags: [latest]}
    registries: {allow: ["registry.example.com/**", "docker.io/library/*"], deny: ["registry.example.com/team/banned"]}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: pins}
spec: {match: {namespaceSelector: {matchLabels: {tier: gold}}}, mutate: {digests: {}}}
`

// everyRule has all rules. The repairs leave enough undone for the checks of the same
// name to find something.
const everyRule = parityPolicies + `---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: repairs}
spec:
  mutate:
    probes: {sources: [Annotation, Healthcheck]}
    logging: {terminationMessagePolicy: Unchanged, catalog: [{name: number, images: ["registry.example.com/number"], env: [{name: LOG, value: json}]}]}
    hardening: {}
  validate:
    probes: {require: [readiness]}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: logs}
spec:
  validate:
    logging: {require: [environment, terminationMessagePolicy]}
`

// parityImages knows what images are by words in their names.
type parityImages struct{}

func (parityImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		fact := image.Fact{Image: n.Image, Digest: "sha256:" + strings.Repeat("a", 64)}
		p := image.Platform{OS: "linux", Architecture: "amd64", User: "1000", UID: 1000}
		switch {
		case strings.Contains(n.Image, "unreachable"):
			fact = image.Fact{Image: n.Image, Err: &image.Error{Reason: image.Unreachable, Image: n.Image, Host: "registry.example.com"}}
		case strings.Contains(n.Image, "root"):
			p.User, p.UID = "", 0
		}
		if fact.Err == nil {
			fact.Platforms = []image.Platform{p}
		}
		facts[n.Image] = fact
	}
	return facts
}

// TestParity requires one verdict everywhere: for every case file the command line,
// the engine, the webhook and the audit find the same, in the same words, and every
// rule finds something. Where the webhook refuses in its mutating part the API server
// asks for no more, and what the others find after that is compared among them.
func TestParity(t *testing.T) {
	j := parityJudge(t, everyRule+ownRules)
	handler, err := webhook.Rehearsal{Policies: j.policies, Namespaces: j.namespaces, Images: j.images}.Handler()
	if err != nil {
		t.Fatal(err)
	}
	audited, err := newClusterJudge(j, "1", []string{"latest"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[policies.RuleName]bool{}
	for _, file := range caseFiles(t, "*/*.yaml", 50) {
		t.Run(file.name(), func(t *testing.T) {
			repaired, checked := judgeDirectly(t, j, file)
			for _, f := range repaired {
				found[policies.RuleName("mutate."+f.Rule)] = true
			}
			for _, f := range checked {
				found[policies.RuleName("validate."+f.Rule)] = true
			}
			byEngine := findingsOf(slices.Concat(repaired, checked))
			if diff := cmp.Diff(byEngine, findingsIn(file.check(t, j).report.Results)); diff != "" {
				t.Errorf("-engine +check:\n%s", diff)
			}
			mutation, validation := reviews(t, handler, file)
			if diff := cmp.Diff(texts(repaired), annotated(mutation, "findings")); diff != "" {
				t.Errorf("repairs (-engine +webhook):\n%s", diff)
			}
			if mutation.Allowed {
				if diff := cmp.Diff(texts(checked), annotated(validation, "findings")); diff != "" {
					t.Errorf("checks (-engine +webhook):\n%s", diff)
				}
			}
			// A scan gives the object as this does, which e2e/audit holds on a cluster.
			stored := file.review(t, j)
			complete(stored.Workload)
			if diff := cmp.Diff(byEngine, findingsIn(audited.Judge(t.Context(), stored).Findings)); diff != "" {
				t.Errorf("-engine +audit:\n%s", diff)
			}
		})
	}
	for _, rule := range policies.RuleNames() {
		if !found[rule] {
			t.Errorf("got no finding of %s in any case, want some", rule)
		}
	}
}

func texts(findings []engine.Finding) []string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Mode, f))
	}
	return lines
}

// complete sets in every container what the API server sets and pod.Default does not
// (SetDefaults_Container and SetDefaults_Probe in k8s.io/kubernetes/pkg/apis/core/v1/defaults.go).
func complete(w *pod.Workload) {
	for c := range w.Containers() {
		c.TerminationMessagePath = stdcmp.Or(c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
		c.TerminationMessagePolicy = stdcmp.Or(c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
		for i := range c.Ports {
			c.Ports[i].Protocol = stdcmp.Or(c.Ports[i].Protocol, corev1.ProtocolTCP)
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p == nil {
				continue
			}
			p.TimeoutSeconds, p.PeriodSeconds = stdcmp.Or(p.TimeoutSeconds, 1), stdcmp.Or(p.PeriodSeconds, 10)
			p.SuccessThreshold, p.FailureThreshold = stdcmp.Or(p.SuccessThreshold, 1), stdcmp.Or(p.FailureThreshold, 3)
			if get := p.HTTPGet; get != nil {
				get.Path, get.Scheme = stdcmp.Or(get.Path, "/"), stdcmp.Or(get.Scheme, corev1.URISchemeHTTP)
			}
		}
	}
}

// judgeDirectly is the decision by the engine alone, without anything of this
// command: of the mutators first, of the checks then.
func judgeDirectly(t *testing.T, j *judge, file caseFile) (repaired, checked []engine.Finding) {
	t.Helper()
	plan := j.engine.Plan(file.review(t, j), j.policies)
	var none image.Credentials
	mutation := plan.Mutate(j.images.Gather(t.Context(), plan.MutationNeeds(), none))
	validation := plan.Validate(j.images.Gather(t.Context(), plan.ValidationNeeds(), none))
	return mutation.Findings, validation.Findings
}

func findingsOf(findings []engine.Finding) []report.Result {
	var results []report.Result
	for _, f := range findings {
		outcome := report.Warn
		if f.Mode == policies.ModeEnforce {
			outcome = report.Fail
		}
		results = append(results, report.Result{
			Policy: f.Policy, Rule: f.Rule, Check: f.Check, Mode: string(f.Mode), Result: outcome,
			Container: f.Container, Field: f.Path.String(), Value: f.Value, Message: f.Message, Fix: f.Fix,
		})
		if last := &results[len(results)-1]; f.Whole {
			last.Value, last.Whole = nil, true
		}
	}
	return results
}

func findingsIn(all []report.Result) []report.Result {
	var results []report.Result
	for _, r := range all {
		if r.Result == report.Pass {
			continue
		}
		r.Source, r.Document, r.Line, r.Column, r.Kind, r.Namespace, r.Name = "", 0, 0, 0, "", "", ""
		results = append(results, r)
	}
	return results
}

// reviews are the answers of both webhooks, the second one about what the first
// one made.
func reviews(t *testing.T, handler http.Handler, file caseFile) (mutation, validation *admissionv1.AdmissionResponse) {
	t.Helper()
	w := file.workload(t)
	complete(w)
	object := defaulted(t, w, file.object)
	mutation = post(t, handler, webhook.MutatePath, w, object)
	if mutation.Patch != nil {
		patch, err := jsonpatch.DecodePatch(mutation.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if object, err = patch.Apply(object); err != nil {
			t.Fatal(err)
		}
	}
	return mutation, post(t, handler, webhook.ValidatePath, w, object)
}

// defaulted has the spec that the API server would send, since it sets defaults
// before admission.
func defaulted(t *testing.T, w *pod.Workload, object []byte) []byte {
	t.Helper()
	spec, err := json.Marshal(w.Spec)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch([]byte(`[{"op":"replace","path":"` + w.SpecPath().Pointer() + `","value":` + string(spec) + `}]`))
	if err != nil {
		t.Fatal(err)
	}
	if object, err = patch.Apply(object); err != nil {
		t.Fatal(err)
	}
	return object
}

func post(t *testing.T, handler http.Handler, path string, w *pod.Workload, object []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	namespace := stdcmp.Or(w.Metadata.Namespace, "default")
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Namespace: namespace, Name: w.Metadata.Name, Operation: admissionv1.Create,
			Kind:     metav1.GroupVersionKind{Group: w.Kind.Group, Version: w.Kind.Version, Kind: w.Kind.Name},
			Resource: metav1.GroupVersionResource{Group: w.Kind.Group, Version: w.Kind.Version, Resource: w.Kind.Resource},
			Object:   runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(review)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil {
		t.Fatalf("got %d %s, %v, want an AdmissionReview", recorder.Code, recorder.Body, err)
	}
	return answer.Response
}

// annotated are the lines of an audit annotation.
func annotated(r *admissionv1.AdmissionResponse, key string) []string {
	if r.AuditAnnotations[key] == "" {
		return nil
	}
	return strings.Split(r.AuditAnnotations[key], "\n")
}

package validate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// judgeExpressions evaluates all expressions of a policy.
func judgeExpressions(w *pod.Workload, c *policies.Compiled, in ExpressionInput) []pod.Finding {
	in.Workload = w
	e := NewExpressions(in)
	var findings []pod.Finding
	for i := range c.Expressions {
		if f := e.Judge(&c.Expressions[i]); f != nil {
			findings = append(findings, *f)
		}
	}
	return findings
}

// expressionFacts are the images of the cases of expressions.
func expressionFacts() image.Facts {
	amd64 := image.Platform{OS: "linux", Architecture: "amd64", User: "app", UID: 999, Env: []string{"A=b=c", "D"}}
	labelled := amd64
	labelled.Labels = map[string]string{"org.opencontainers.image.source": "https://git.example.com/shop"}
	return image.Facts{
		"registry.example.com/labelled:1":          {Digest: "sha256:d", Platforms: []image.Platform{labelled, labelled}},
		"registry.example.com/bare:1":              {Platforms: []image.Platform{amd64}},
		"registry.example.com/labelled-on-amd64:1": {Platforms: []image.Platform{labelled, amd64}},
		"registry.example.com/unreachable:1": {Err: &image.Error{
			Reason: image.Unreachable, Image: "registry.example.com/unreachable:1", Host: "registry.example.com",
		}},
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: gold}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      containers:
      - {name: app, image: "registry.example.com/labelled:1"}
`

// one evaluates one expression, given as the fields of its entry.
func one(t *testing.T, entry string, in ExpressionInput) *pod.Finding {
	t.Helper()
	compiled := compile(t, "{expressions: [{name: x, "+entry+"}]}")
	w, err := pod.DecodeYAML([]byte(deployment))
	if err != nil {
		t.Fatal(err)
	}
	findings := judgeExpressions(w, compiled, in)
	if len(findings) == 0 {
		return nil
	}
	return &findings[0]
}

func TestExpressionFindings(t *testing.T) {
	object, err := yaml.YAMLToJSON([]byte(deployment))
	if err != nil {
		t.Fatal(err)
	}
	admission := func() *admissionv1.AdmissionRequest {
		return &admissionv1.AdmissionRequest{Operation: admissionv1.Create, UserInfo: authenticationv1.UserInfo{Username: "ann"}}
	}
	known := Request{Object: object, Admission: admission, Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	for name, test := range map[string]struct {
		entry string
		in    ExpressionInput
		want  *pod.Finding
	}{
		"field and value": {
			`expression: "!pod.spec.hostNetwork"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "spec", "hostNetwork"), Value: true},
		},
		"field that is not set": {
			`expression: "has(pod.spec.hostname)"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "spec", "hostname")},
		},
		"field of the object": {
			`expression: "object.spec.replicas < 3", message: "too many", fix: "use 2"`,
			ExpressionInput{Request: known},
			&pod.Finding{Path: fieldPath("spec", "replicas"), Value: int32(3), Message: "too many", Fix: "use 2"},
		},
		"labels": {
			`expression: "'team' in pod.metadata.labels"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "metadata", "labels"), Value: map[string]string{"app": "web"}},
		},
		"request": {`expression: "request.userInfo.username == 'ann'"`, ExpressionInput{Request: known}, nil},
		"kind from the object alone": {
			`expression: "request.kind.kind == 'Deployment' && request.operation == 'CREATE' && request.namespace == 'shop'"`,
			ExpressionInput{NamespaceName: "shop"},
			nil,
		},
		"namespace labels": {
			`expression: "namespaceObject.metadata.labels['a'] == 'b'"`,
			ExpressionInput{NamespaceName: "shop", NamespaceLabels: map[string]string{"a": "b"}},
			nil,
		},
		"unknown object": {
			`expression: "object.spec.replicas < 3"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "replicas"), Message: "not judged: it reads the object beside its pod template, which is not known here", Unknown: true, Advisory: true},
		},
		"unknown caller": {
			`expression: "request.userInfo.username == 'ann'"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template"), Message: "not judged: it reads of the request what is known at admission alone", Unknown: true, Advisory: true},
		},
		"unknown namespace": {
			`expression: "has(namespaceObject.metadata.annotations)"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template"), Message: "not judged: it reads more of the namespace than its name and labels, which are all that is known here", Unknown: true, Advisory: true},
		},
		"no registry asked": {
			`expression: "pod.spec.containers.all(c, image(c).tag == '1')"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "spec", "containers"), Message: `it is not known whether the expression holds: no registry was asked about "registry.example.com/labelled:1"`, Unknown: true, NoAnswer: true},
		},
		"image": {
			`expression: "pod.spec.containers.all(c, image(c).digest == 'sha256:d' && image(c).name == 'registry.example.com/labelled' &&
				image(c).platforms.all(p, p.user == 'app' && p.env['A'] == 'b=c' && p.os == 'linux'))"`, ExpressionInput{Facts: expressionFacts()}, nil,
		},
		"error": {
			`expression: "pod.spec.nodeSelector['a'] == 'b'"`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "spec", "nodeSelector"), Message: "the expression cannot be evaluated: no such key: nodeSelector", Fix: "set the field that it reads, or have the policy ask with has() whether it is set", Unknown: true},
		},
		"error that warns": {
			`expression: "pod.spec.nodeSelector['a'] == 'b'", onError: Warn`,
			ExpressionInput{},
			&pod.Finding{Path: fieldPath("spec", "template", "spec", "nodeSelector"), Message: "the expression cannot be evaluated: no such key: nodeSelector", Fix: "set the field that it reads, or have the policy ask with has() whether it is set", Unknown: true, Advisory: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := one(t, test.entry, test.in)
			if test.want != nil {
				test.want.Rule, test.want.Check = ExpressionsRule, "x"
				if got != nil && test.want.Message == "" {
					test.want.Message, test.want.Fix = got.Message, got.Fix
				}
				if got != nil && test.want.Fix == "" {
					test.want.Fix = got.Fix
				}
				if got != nil && got.Whole {
					got.Whole, got.Value = false, nil
				}
			}
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b pod.Path) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func fieldPath(fields ...string) pod.Path {
	var p pod.Path
	for _, f := range fields {
		p = p.Child(f)
	}
	return p
}

// TestExpressionTime ends with the request.
func TestExpressionTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 500), ",") + "]"
	f := one(t, `expression: "`+list+`.all(a, `+list+`.all(b, a == b))"`, ExpressionInput{Request: Request{Context: ctx}})
	if f == nil || !strings.Contains(f.Message, "the time of the request ran out") {
		t.Errorf("got %+v, want an error of time", f)
	}
}

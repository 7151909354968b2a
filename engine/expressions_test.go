package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/validate"
)

const expressionPolicy = `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: own}
spec:
  mode: Warn
  onRegistryError: Allow
  validate:
    expressions:
    - {name: host-network, mode: Enforce, expression: "!has(pod.spec.hostNetwork)", message: "pods stay off the node's network", fix: "remove it"}
    - {name: replicas, expression: "!has(object.spec.replicas) || object.spec.replicas < 3"}
    - {name: source, mode: Enforce, expression: "pod.spec.containers.all(c, image(c).labels.exists(l, l == 'source'))"}
    - name: grows
      mode: Enforce
      expression: "oldObject == null || pod.spec.containers.size() <= oldObject.spec.template.spec.containers.size()"
      messageExpression: "'there are ' + string(pod.spec.containers.size()) + ' containers'"
`

func deploymentWith(fields string) string {
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {` + fields + `}
`
}

// reviewOf is a review of an object as a webhook makes it; an empty old is a creation.
func reviewOf(t testing.TB, object, old string) Review {
	t.Helper()
	r := Review{Workload: decode(t, object)}
	r.Request.Object = toJSON(t, object)
	if old != "" {
		r.Old, r.Request.OldObject = decode(t, old), toJSON(t, old)
	}
	return r
}

func toJSON(t testing.TB, text string) []byte {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExpressions(t *testing.T) {
	facts := image.Facts{"app:1": {Platforms: []image.Platform{{OS: "linux", Labels: map[string]string{"source": "x"}}}}}
	const app, app2 = "containers: [{name: app, image: 'app:1'}]", "containers: [{name: app, image: 'app:1'}, {name: b, image: 'app:1'}]"
	replicas := "Warn own: expressions/replicas: spec.replicas is 3: the expression is false: !has(object.spec.replicas) || object.spec.replicas < 3. " +
		"Fix: make the expression true: !has(object.spec.replicas) || object.spec.replicas < 3."
	network := "own: expressions/host-network: spec.template.spec.hostNetwork is true: pods stay off the node's network. Fix: remove it."
	for name, test := range map[string]struct {
		object, old string
		facts       image.Facts
		want        []string
	}{
		"each its own mode": {deploymentWith(app + ", hostNetwork: true"), "", facts, []string{"Enforce " + network, replicas}},
		"no answer": {deploymentWith(app), "", image.Facts{}, []string{
			replicas,
			`Audit own: expressions/source: spec.template.spec.containers: it is not known whether the expression holds: no registry was asked about "app:1". ` +
				`Fix: make the expression true: pod.spec.containers.all(c, image(c).labels.exists(l, l == 'source')).`,
		}},
		"there before": {deploymentWith(app + ", hostNetwork: true, dnsPolicy: Default"), deploymentWith(app + ", hostNetwork: true"), facts, []string{"Warn " + network, replicas}},
		"new":          {deploymentWith(app + ", hostNetwork: true"), deploymentWith(app), facts, []string{"Enforce " + network, replicas}},
		"judges the update": {deploymentWith(app2), deploymentWith(app), facts, []string{
			"Enforce own: expressions/grows: spec.template.spec.containers: there are 2 containers. " +
				"Fix: make the expression true: oldObject == null || pod.spec.containers.size() <= oldObject.spec.template.spec.containers.size().",
			replicas,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(t, compile(t, expressionPolicy), reviewOf(t, test.object, test.old))
			var got []string
			for _, f := range p.Validate(test.facts).Findings {
				got = append(got, fmt.Sprintf("%s %s", f.Mode, f))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if needs := p.ValidationNeeds(); len(needs) == 0 || !needs[0].Config || needs[0].Image != "app:1" {
				t.Errorf("got needs %+v, want the configuration of app:1", needs)
			}
		})
	}
	rules := plan(t, compile(t, expressionPolicy), reviewOf(t, deploymentWith(app), "")).Rules()
	if diff := cmp.Diff([]Rule{{"own", validate.ExpressionsRule, policies.ModeEnforce}}, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// TestExpressionsOfUpdates denies what an expression about the update itself finds,
// although it finds the same in the old object alone.
func TestExpressionsOfUpdates(t *testing.T) {
	set := compile(t, `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: own}
spec:
  validate:
    expressions: [{name: x, expression: "oldObject != null && pod.metadata.labels['app'] != 'web'"}]
`)
	old, updated := deploymentWith("containers: [{name: app, image: 'app:1'}]"), deploymentWith("containers: [{name: app, image: 'app:2'}]")
	if v := plan(t, set, reviewOf(t, updated, old)).Validate(nil); !v.Denied() {
		t.Errorf("got %v, want a denial", v.Findings)
	}
}

// TestExpressionsSeeRepairs judges what the mutators left, in object and in pod.
func TestExpressionsSeeRepairs(t *testing.T) {
	set := compile(t, `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: own}
spec:
  mutate: {hardening: {fields: [allowPrivilegeEscalation]}}
  validate:
    expressions:
    - {name: pod, expression: "pod.spec.containers.all(c, c.securityContext.allowPrivilegeEscalation == false)"}
    - {name: object, expression: "object.spec.template.spec.containers.all(c, c.securityContext.allowPrivilegeEscalation == false)"}
`)
	p := plan(t, set, reviewOf(t, deploymentWith("containers: [{name: app, image: 'app:1'}]"), ""))
	facts := image.Facts{"app:1": linuxImage(image.Platform{User: "1000", UID: 1000})}
	if v := p.Mutate(facts); len(v.Edits) == 0 {
		t.Fatalf("got no edit, want one: %+v", v)
	}
	if v := p.Validate(nil); len(v.Findings) > 0 {
		t.Errorf("got %v, want no finding", v.Findings)
	}
}

// BenchmarkExpressions is the judging of a workload of three containers by
// expressions alone; none is the cost of all else.
func BenchmarkExpressions(b *testing.B) {
	object := deploymentWith(`containers: [{name: a, image: "a:1"}, {name: b, image: "b:1", ports: [{containerPort: 80}]}, {name: c, image: "c:1", resources: {limits: {memory: 1Gi}}}]`)
	entries := []string{
		`"has(pod.metadata.labels) && 'app' in pod.metadata.labels"`,
		`"!has(pod.spec.volumes) || pod.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith('/data/'))"`,
		`"pod.spec.containers.all(c, !has(c.resources.limits) || !('memory' in c.resources.limits) || quantity(c.resources.limits['memory']).compareTo(quantity('2Gi')) <= 0)"`,
		`"!has(object.spec.replicas) || object.spec.replicas < 100"`,
		`"request.kind.kind == 'Deployment'"`,
	}
	for _, n := range []int{0, 1, 10} {
		lines := []string{"- {name: x, mode: Audit, expression: 'true'}"}
		if n > 0 {
			lines = nil
		}
		for i := range n {
			lines = append(lines, fmt.Sprintf("- {name: e%d, expression: %s}", i, entries[i%len(entries)]))
		}
		text := "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: own}\nspec:\n  validate:\n    expressions:\n    " + strings.Join(lines, "\n    ") + "\n"
		if n == 0 {
			text = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: own}\nspec: {validate: {registries: {allow: ['docker.io/library/*']}}}\n"
		}
		set, review := compile(b, text), reviewOf(b, object, "")
		e, err := New()
		if err != nil {
			b.Fatal(err)
		}
		review.Namespace.Name = "web"
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := e.Plan(review, set).Validate(nil); len(v.Findings) > 0 {
					b.Fatal(v.Findings)
				}
			}
		})
	}
}

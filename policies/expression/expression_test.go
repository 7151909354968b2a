package expression

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// facts are those of the creation of a Deployment.
func facts() Facts {
	template := Template{
		Metadata: &metav1.ObjectMeta{Labels: map[string]string{"team": "web"}, Namespace: "shop"},
		Spec: &corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "app", Image: "nginx:1",
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data/x"}}}},
		},
	}
	return Facts{
		Template: template,
		Object: func() (any, error) {
			return &appsv1.Deployment{
				TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
				Spec:     appsv1.DeploymentSpec{Replicas: ptr.To[int32](3), Template: corev1.PodTemplateSpec{Spec: *template.Spec}},
			}, nil
		},
		OldObject: func() (any, error) { return nil, nil },
		Request: func() *admissionv1.AdmissionRequest {
			return &admissionv1.AdmissionRequest{Operation: admissionv1.Create, UserInfo: authenticationv1.UserInfo{Username: "ann", Groups: []string{"dev"}}}
		},
		Namespace: func() *corev1.Namespace {
			return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"tier": "gold"}}}
		},
		Images: func(reference string) (*Image, error) {
			if reference != "nginx:1" {
				return nil, fmt.Errorf("%s is not known", reference)
			}
			return &Image{Reference: reference, Labels: map[string]string{"a": "b"}, Platforms: []Platform{{OS: "linux", User: "app", UID: 7}}}, nil
		},
	}
}

func mustCompile(t testing.TB, source Source) *Program {
	t.Helper()
	p, faults := Compile(source)
	if len(faults) > 0 {
		t.Fatalf("compiling %q: got faults %+v, want none", source.Expression, faults)
	}
	return p
}

func TestHolds(t *testing.T) {
	for expression, want := range map[string]bool{
		`has(pod.metadata.labels) && pod.metadata.labels["team"] == "web"`:                                true,
		`"owner" in pod.metadata.labels`:                                                                  false,
		`pod.metadata.namespace == "shop"`:                                                                true, // a word that CEL reserves
		`has(pod.metadata.annotations)`:                                                                   false,
		`pod.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith("/data/"))`:               true,
		`pod.spec.containers.all(c, quantity(c.resources.limits.memory).compareTo(quantity("2Gi")) <= 0)`: true,
		`pod.spec.?hostNetwork.orValue(false)`:                                                            false,
		`object.spec.replicas == 3 && object.kind == "Deployment"`:                                        true,
		`has(object.spec.schedule)`:                                                                       false,
		`oldObject == null`:                                                                               true,
		`request.operation == "CREATE" && "dev" in request.userInfo.groups`:                               true,
		`namespaceObject.metadata.labels["tier"] == "gold"`:                                               true,
		`pod.spec.containers.all(c, image(c).labels["a"] == "b")`:                                         true,
		`image("nginx:1").platforms.exists(p, p.os == "linux" && p.uid == 0)`:                             false,
		`true || image("other").tag == "1"`:                                                               true, // what does not decide is not missing
		`"a,b".split(",").size() == 2 && isURL("https://x") && [1,2].sum() == 3`:                          true,
		`sets.contains(pod.spec.containers.map(c, c.name), ["app"])`:                                      true,
		`ip("10.0.0.1").family() == 4 && !format.dns1123Label().validate("a").hasValue()`:                 true,
	} {
		got, err := NewSubject(facts()).Holds(t.Context(), mustCompile(t, Source{Expression: expression}))
		if err != nil || got != want {
			t.Errorf("%s: got %v (%v), want %v", expression, got, err, want)
		}
	}
}

func TestVariablesAndMessage(t *testing.T) {
	p := mustCompile(t, Source{
		Variables: []Variable{
			{"names", `pod.spec.containers.map(c, c.name)`},
			{"first", `variables.names[0]`},
			{"unused", `1/0 == 1`},
		},
		Expression: `variables.first == "other"`,
		Message:    `"the first of " + string(size(variables.names)) + " is " + variables.first`,
	})
	s := NewSubject(facts())
	holds, err := s.Holds(t.Context(), p)
	if holds || err != nil {
		t.Fatalf("got %v (%v), want false", holds, err)
	}
	if got, want := s.Message(), "the first of 1 is app"; got != want {
		t.Errorf("got message %q, want %q", got, want)
	}
}

// TestMessageFallsBack goes without a message that cannot be shown.
func TestMessageFallsBack(t *testing.T) {
	for _, message := range []string{`string(1/0)`, `"a\nb"`, `"  "`, `"x".replace("x", "` + strings.Repeat("y", 6<<10) + `")`, `image("other").tag`} {
		s := NewSubject(facts())
		if _, err := s.Holds(t.Context(), mustCompile(t, Source{Expression: "false", Message: message})); err != nil {
			t.Fatal(err)
		}
		if got := s.Message(); got != "" {
			t.Errorf("%.40s: got message %.40q, want none", message, got)
		}
	}
}

func TestErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`1/0 == 1`:                                      "division by zero",
		`pod.metadata.labels["owner"] == "x"`:           "no such key: owner",
		`pod.metadata.annotations["x"] == "y"`:          "no such key: annotations",
		`pod.spec.containers[3].name == "x"`:            "index out of bounds: 3",
		`image(pod.spec.containers[0].name).tag == "1"`: "app is not known",
	} {
		_, err := NewSubject(facts()).Holds(t.Context(), mustCompile(t, Source{Expression: expression}))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %q", expression, err, want)
		}
	}
	_, err := NewSubject(facts()).Holds(t.Context(), mustCompile(t, Source{Expression: `image("x").tag == "1"`}))
	if missing := (*MissingError)(nil); !errors.As(err, &missing) {
		t.Errorf("got error %T, want a MissingError", err)
	}
}

// expensive costs more than one expression may.
const expensive = `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))`

func TestLimits(t *testing.T) {
	s := NewSubject(facts())
	p := mustCompile(t, Source{Expression: expensive})
	if _, err := s.Holds(t.Context(), p); err == nil || !strings.Contains(err.Error(), "actual cost limit exceeded") || !Exceeded(err) {
		t.Errorf("got error %v, want that of the cost limit", err)
	}
	for range 12 {
		if _, err := s.Holds(t.Context(), p); err == nil {
			t.Fatal("got no error, want one")
		}
	}
	cheap := mustCompile(t, Source{Expression: "true"})
	if _, err := s.Holds(t.Context(), cheap); !errors.Is(err, errBudget) || !Exceeded(err) {
		t.Errorf("got error %v, want %v", err, errBudget)
	}
	s.NextPolicy()
	if _, err := s.Holds(t.Context(), mustCompile(t, Source{Expression: `pod.metadata.annotations["a"] == "b"`})); err == nil || Exceeded(err) {
		t.Errorf("got error %v for a field that is not set, want one that is about no limit", err)
	}
	if holds, err := s.Holds(t.Context(), cheap); !holds || err != nil {
		t.Errorf("got %v (%v) for the next policy, want true", holds, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := NewSubject(facts()).Holds(ctx, p); !errors.Is(err, context.DeadlineExceeded) || !Exceeded(err) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		source Source
		want   []Fault
	}{
		{Source{Expression: `pod.spec.containerz.size() > 0`}, []Fault{{-1, PartExpression, "1:9: undefined field 'containerz'"}}},
		{Source{Expression: "pod.spec.hostNetwork\n  == 'x'"}, []Fault{{-1, PartExpression, "2:3: found no matching overload for '_==_' applied to '(bool, string)'"}}},
		{Source{Expression: `object.spec.replicaz == 1`}, []Fault{{-1, PartExpression, "1:12: undefined field 'replicaz'"}}},
		{Source{Expression: `pod.metadata.name`}, []Fault{{-1, PartExpression, "1:1: is of type string; it must be of type bool"}}},
		{Source{Expression: `params.x == 1`}, []Fault{{-1, PartExpression, "1:1: " + absent["params"]}}},
		{Source{Expression: `authorizer.group("").resource("pods").check("get").allowed()`}, []Fault{{-1, PartExpression, "1:1: " + absent["authorizer"]}}},
		{Source{Expression: `image(pod.spec.containers[0]).userr == ""`}, []Fault{{-1, PartExpression, "1:30: undefined field 'userr'"}}},
		{Source{Expression: ` `}, []Fault{{-1, PartExpression, "is empty; write an expression in CEL"}}},
		{Source{Expression: `variables.x == 1 && nothing`, Message: `1`}, []Fault{
			{-1, PartExpression, "1:1: there is no variables.x; add it to variables"},
			{-1, PartExpression, "1:21: undeclared reference to 'nothing'"},
			{-1, PartMessage, "1:1: is of type int; it must be of type string"},
		}},
		{Source{Variables: []Variable{{"names", "['a']"}, {"first", "variables.names[0]"}}, Expression: "variables.first != '' &&\n  variables.nams.size() > 0"}, []Fault{
			{-1, PartExpression, `2:3: there is no variables.nams; those that can be used here are "names", "first"`},
		}},
		{Source{Expression: `variables == 1`}, []Fault{{-1, PartExpression, "1:1: variables is no value by itself; write variables.NAME"}}},
		{Source{
			Variables:  []Variable{{"a", "b"}, {"a", "1"}, {"1", "1"}, {"later", "variables.end"}, {"end", "1"}},
			Expression: `variables.a == variables.end`,
		}, []Fault{
			{0, PartExpression, "1:1: undeclared reference to 'b'"},
			{1, PartName, `"a" is the name of a variable before it too`},
			{2, PartName, `"1" is not a name; use letters, digits and _, no digit first`},
			{3, PartExpression, "1:1: there is no variables.end yet; a variable can use those before it, so move it up"},
		}},
	} {
		_, got := Compile(test.source)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.source.Expression, diff)
		}
	}
}

func TestReads(t *testing.T) {
	for _, test := range []struct {
		expression string
		variables  []Variable
		want       Reads
	}{
		{`pod.spec.containers.all(c, c.name != "" && pod.spec.containers.size() > 1)`, nil, Reads{pod: path{true, []string{"spec", "containers"}}}},
		{`has(pod.metadata.labels) && pod.metadata.labels["x"] == pod.metadata.name`, nil, Reads{pod: path{true, []string{"metadata"}}}},
		{`pod.spec.?hostNetwork.orValue(false)`, nil, Reads{pod: path{true, []string{"spec", "hostNetwork"}}}},
		{`object.spec.replicas > 1`, nil, Reads{Object: true, object: path{true, []string{"spec", "replicas"}}}},
		{`oldObject == null || request.operation == "CREATE"`, nil, Reads{OldObject: true}},
		{`request.userInfo.username == "x"`, nil, Reads{Caller: true}},
		{`namespaceObject.metadata.labels["a"] == "b"`, nil, Reads{}},
		{`namespaceObject.metadata.annotations["a"] == "b"`, nil, Reads{Namespace: true}},
		{`variables.b`, []Variable{{"a", `image("x").platforms[0].uid`}, {"b", `variables.a > 0`}, {"unused", "request.dryRun"}}, Reads{Images: true, UID: true}},
	} {
		p := mustCompile(t, Source{Variables: test.variables, Expression: test.expression})
		if diff := cmp.Diff(test.want, p.Reads, cmp.AllowUnexported(Reads{}, path{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.expression, diff)
		}
	}
}

// TestConcurrent evaluates one program on many subjects at once.
func TestConcurrent(t *testing.T) {
	p := mustCompile(t, Source{Variables: []Variable{{"n", "pod.spec.containers.size()"}}, Expression: `variables.n == 1 && pod.metadata.labels["team"] == "web"`})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if holds, err := NewSubject(facts()).Holds(t.Context(), p); !holds || err != nil {
					t.Errorf("got %v (%v), want true", holds, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkEnvironment(b *testing.B) {
	for b.Loop() {
		if _, err := newBase(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	env, err := newBase()
	if err != nil {
		b.Fatal(err)
	}
	source := Source{Variables: []Variable{{"n", "pod.spec.containers.size()"}}, Expression: `variables.n == 1 && pod.metadata.labels["team"] == "web"`}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			if _, faults := compile(env.Env, source); len(faults) > 0 {
				b.Fatal(faults)
			}
		}
	})
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			mustCompile(b, source)
		}
	})
}

// TestProgramsAreKept compiles a rule once, tells apart what differs, and does not
// keep without bound.
func TestProgramsAreKept(t *testing.T) {
	source := Source{Expression: "1 == 1", Message: `"a"`}
	if first, second := mustCompile(t, source), mustCompile(t, source); first != second {
		t.Error("got two programs of one rule, want one")
	}
	other := source
	other.Message = `"b"`
	if mustCompile(t, source) == mustCompile(t, other) {
		t.Error("got one program of two rules, want two")
	}
	var p programs
	for i := range 3 * maxPrograms {
		p.put(fmt.Sprint(i), &Program{})
	}
	if len(p.byText) > maxPrograms || p.get(fmt.Sprint(3*maxPrograms-1)) == nil {
		t.Errorf("got %d programs, want at most %d, and the latest", len(p.byText), maxPrograms)
	}
}

func BenchmarkHolds(b *testing.B) {
	p := mustCompile(b, Source{Expression: `pod.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith("/data/"))`})
	b.ReportAllocs()
	for b.Loop() {
		if holds, err := NewSubject(facts()).Holds(b.Context(), p); !holds || err != nil {
			b.Fatal(holds, err)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	psadmission "k8s.io/pod-security-admission/admission"
	psconfig "k8s.io/pod-security-admission/admission/api"
	psapi "k8s.io/pod-security-admission/api"
	psmetrics "k8s.io/pod-security-admission/metrics"
	pspolicy "k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

func TestConvertPSAConfig(t *testing.T) {
	got := execute(t, "", "convert", "psa-config", "testdata/convert/admission.yaml")
	golden(t, "convert/policies.yaml", got.stdout)
	want := `portcullis: a namespace that has the label pod-security.kubernetes.io/warn and not pod-security.kubernetes.io/warn-version is judged by the latest version, where Kubernetes takes the default "v1.30"; set both labels
portcullis: user "system:serviceaccount:kube-system:replicaset-controller" is exempt, and creates the pods of everybody
`
	if got.code != 0 || got.stderr != want {
		t.Errorf("got exit code %d and\n%swant 0 and\n%s", got.code, got.stderr, want)
	}
}

// TestConvertSources requires the same of each way in which the configuration is
// given.
func TestConvertSources(t *testing.T) {
	const inner = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults: {enforce: baseline}\n"
	folder := t.TempDir()
	save := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := save("inner.yaml", inner)
	outer := save("outer.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{name: PodSecurity, path: inner.yaml}]\n")
	want := execute(t, "", "convert", "psa-config", file)
	if want.code != 0 || !strings.Contains(want.stdout, "level: baseline") {
		t.Fatalf("got %+v, want a policy", want)
	}
	for name, got := range map[string]execution{
		"stdin":    execute(t, inner, "convert", "psa-config", "-"),
		"a plugin": execute(t, "", "convert", "psa-config", outer),
	} {
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(execution{})); diff != "" {
			t.Errorf("%s (-file +got):\n%s", name, diff)
		}
	}
}

func TestConvertErrors(t *testing.T) {
	const head = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n"
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"all that is wrong at once", head + "defaults: {enforce: strict, warn-version: \"1.30\"}\nexemptions: {namespaces: [A], usernames: [\"\"]}\n", []string{
			`reading "-": [defaults.enforce: Invalid value: "strict": `, "defaults.warn-version: ", "exemptions.namespaces[0]: ", "exemptions.usernames[0]: ",
		}},
		{"an unknown field", head + "default: {}\n", []string{`unknown field "default"`}},
		{"another kind", "apiVersion: v1\nkind: Pod\n", []string{`reading "-": it is of kind "Pod"; want a PodSecurityConfiguration`}},
		{"a configuration without the plugin", "kind: AdmissionConfiguration\nplugins: [{name: ImagePolicyWebhook}]\n", []string{"there is no PodSecurityConfiguration in it"}},
		{"nothing", "", []string{"there is no PodSecurityConfiguration in it"}},
		{"a user that no policy takes", head + "exemptions: {usernames: [\"ci-*\"]}\n", []string{`converting "-": `, `spec.match.excludeUsernames[0]: "ci-*" is no name`}},
	} {
		got := execute(t, test.text, "convert", "psa-config", "-")
		if got.code != 2 || got.stdout != "" {
			t.Errorf("%s: got exit code %d and output %q, want 2 and none", test.name, got.code, got.stdout)
		}
		for _, want := range test.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%s: got %s, want it to say %s", test.name, got.stderr, want)
			}
		}
	}
	if got := execute(t, "", "convert", "psa-config"); got.code != 2 || got.stderr != "portcullis: got 0 files, want one; see portcullis convert psa-config --help\n" {
		t.Errorf("without a file: got %+v", got)
	}
}

// TestConvertedMeansTheSame compares Kubernetes' own admission, configured by a
// file, with the policies that the file is converted to: for many labels, users,
// runtime classes and objects, what is refused, warned about and recorded.
func TestConvertedMeansTheSame(t *testing.T) {
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	levels := []string{"privileged", "baseline", "restricted"}
	seen := map[string]int{}
	for i := range 27 {
		enforce, warn, audit := levels[i%3], levels[i/3%3], levels[i/9]
		text := fmt.Sprintf("apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults: {enforce: %s, warn: %s, audit: %s}\n"+
			"exemptions: {namespaces: [exempt], usernames: [jane], runtimeClasses: [gvisor]}\n", enforce, warn, audit)
		config, err := readPSAConfig("-", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		data, err := convertPSAConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		list, err := policies.Load(data, "converted")
		if err != nil {
			t.Fatal(err)
		}
		set, err := policies.Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range psaCases() {
			want := c.byKubernetes(t, core.PodSecurity(), config)
			got := c.byPortcullis(t, core, set)
			if got != want {
				t.Errorf("enforce %s, warn %s, audit %s: %+v: got %s, want %s as Kubernetes says", enforce, warn, audit, c, got, want)
			}
			seen[want]++
		}
	}
	for _, outcome := range []string{"denied", "warned", "audited", "passed"} {
		if seen[outcome] < 20 {
			t.Errorf("got %d cases %s, want at least 20", seen[outcome], outcome)
		}
	}
}

// psaCase is one creation in a namespace with one label.
type psaCase struct {
	namespace, label, level, user, class, kind string
	bad                                        int // 0: restricted, 1: baseline, 2: privileged
}

func psaCases() []psaCase {
	var cases []psaCase
	for _, label := range []string{"", psapi.EnforceLevelLabel, psapi.WarnLevelLabel, psapi.AuditLevelLabel} {
		for _, level := range []string{"privileged", "baseline", "restricted"} {
			for _, kind := range []string{"Pod", "Deployment"} {
				for bad := range 3 {
					base := psaCase{namespace: "web", label: label, level: level, kind: kind, bad: bad}
					user, class, namespace := base, base, base
					user.user, class.class, namespace.namespace = "jane", "gvisor", "exempt"
					cases = append(cases, base, user, class, namespace)
				}
			}
		}
	}
	return cases
}

func (c psaCase) labels() map[string]string {
	if c.label == "" {
		return nil
	}
	return map[string]string{c.label: c.level}
}

// object is a pod of a level, or a Deployment of such.
func (c psaCase) object(t *testing.T) (object runtime.Object, data []byte) {
	t.Helper()
	yes, no := true, false
	spec := corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "app", Image: "app:1", SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}}},
	}
	if c.bad > 0 {
		spec.Containers[0].SecurityContext = nil
	}
	spec.HostNetwork = c.bad > 1
	if c.class != "" {
		spec.RuntimeClassName = &c.class
	}
	meta := metav1.ObjectMeta{Namespace: c.namespace, Name: "x"}
	object = &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: spec}
	if c.kind == "Deployment" {
		object = &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}}
	}
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return object, data
}

func (c psaCase) byPortcullis(t *testing.T, core *engine.Engine, set *policies.Set) string {
	t.Helper()
	_, data := c.object(t)
	w, err := pod.DecodeYAML(data)
	if err != nil {
		t.Fatal(err)
	}
	v := core.Plan(engine.Review{Workload: w, Username: c.user, Namespace: engine.Namespace{Name: c.namespace, Labels: c.labels()}}, set).Validate(image.Facts{})
	switch {
	case v.Denied():
		return "denied"
	case len(v.With(policies.ModeWarn)) > 0:
		return "warned"
	case len(v.Findings) > 0:
		return "audited"
	}
	return "passed"
}

// byKubernetes asks the code of the API server's plugin.
func (c psaCase) byKubernetes(t *testing.T, evaluator pspolicy.Evaluator, config *psconfig.PodSecurityConfiguration) string {
	t.Helper()
	a := &psadmission.Admission{
		Configuration: config, Evaluator: evaluator, Metrics: noMetrics{}, PodSpecExtractor: &psadmission.DefaultPodSpecExtractor{},
		NamespaceGetter: psaNamespace{c}, PodLister: psaNamespace{c},
	}
	if err := a.CompleteConfiguration(); err != nil {
		t.Fatal(err)
	}
	object, _ := c.object(t)
	request := &psapi.AttributesRecord{
		Name: "x", Namespace: c.namespace, Username: c.user, Operation: admissionv1.Create, Object: object,
		Kind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: schema.GroupVersionResource{Version: "v1", Resource: "pods"},
	}
	if c.kind == "Deployment" {
		request.Kind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
		request.Resource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	}
	response := a.Validate(t.Context(), request)
	switch {
	case !response.Allowed:
		return "denied"
	case len(response.Warnings) > 0:
		return "warned"
	case response.AuditAnnotations["audit-violations"] != "":
		return "audited"
	}
	return "passed"
}

// psaNamespace is the only namespace.
type psaNamespace struct{ c psaCase }

func (n psaNamespace) GetNamespace(_ context.Context, name string) (*corev1.Namespace, error) {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.c.labels()}}, nil
}

func (n psaNamespace) ListPods(context.Context, string) ([]*corev1.Pod, error) { return nil, nil }

type noMetrics struct{}

func (noMetrics) RecordEvaluation(psmetrics.Decision, psapi.LevelVersion, psmetrics.Mode, psapi.Attributes) {
}
func (noMetrics) RecordExemption(psapi.Attributes)   {}
func (noMetrics) RecordError(bool, psapi.Attributes) {}

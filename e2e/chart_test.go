package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// helm builds the pinned Helm, the one of the suite on kind, and returns a function
// that renders the chart.
func helm(t *testing.T) func(namespace, values string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	// Prints where the program is, which stays in the build cache.
	find := exec.CommandContext(t.Context(), "go", "tool", "-n", "helm")
	find.Dir = filepath.Join("kind", "programs")
	output, err := find.Output()
	if err != nil {
		t.Fatalf("building helm: %v", err)
	}
	program := strings.TrimSpace(string(output))
	return func(namespace, values string) ([]*unstructured.Unstructured, error) {
		var stdout, stderr bytes.Buffer
		template := exec.CommandContext(t.Context(), program, "template", "portcullis", filepath.Join(manifests, "chart"),
			"--namespace", namespace, "--kube-version", "1.34", "--values", "-")
		template.Stdin, template.Stdout, template.Stderr = strings.NewReader(values), &stdout, &stderr
		if err := template.Run(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, stderr.String())
		}
		return decodeAll(&stdout)
	}
}

func decodeAll(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(r)); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		if string(data) == "null" { // comments only
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

// kustomization renders overlays and components together.
func kustomization(t *testing.T, overlay string, components ...string) []*unstructured.Unstructured {
	t.Helper()
	dir := t.TempDir()
	from := func(parts ...string) string {
		absolute, err := filepath.Abs(filepath.Join(append([]string{manifests}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(dir, absolute)
		if err != nil {
			t.Fatal(err)
		}
		return relative
	}
	file := map[string]any{"resources": []string{from("overlays", overlay)}}
	var added []string
	for _, component := range components {
		added = append(added, from("components", component))
	}
	file["components"] = added
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), data)
	return render(t, dir)
}

// TestChart compares what the chart renders with the overlay that it stands for,
// object by object. The namespace is Helm's to make.
func TestChart(t *testing.T) {
	template := helm(t)
	for _, test := range []struct {
		values     string
		overlay    string
		components []string
	}{
		{"{}", "self-signed", nil},
		{"{certificates: {mode: cert-manager}}", "cert-manager", nil},
		{"{highAvailability: true}", "high-availability", nil},
		{"{highAvailability: true, certificates: {mode: cert-manager}}", "high-availability-cert-manager", nil},
		{"{networkPolicy: true, monitoring: true, dashboard: true}", "self-signed", []string{"network-policy", "monitoring", "dashboard"}},
	} {
		t.Run(test.values, func(t *testing.T) {
			rendered, err := template(harness.SystemNamespace, test.values)
			if err != nil {
				t.Fatal(err)
			}
			want, got := byIdentity(kustomization(t, test.overlay, test.components...)), byIdentity(rendered)
			delete(want, "Namespace "+harness.SystemNamespace)
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("objects (-kustomize +chart):\n%s", diff)
			}
			for name := range want {
				if diff := cmp.Diff(want[name], got[name]); diff != "" {
					t.Errorf("%s (-kustomize +chart):\n%s", name, diff)
				}
			}
		})
	}
}

func byIdentity(objects []*unstructured.Unstructured) map[string]any {
	list := map[string]any{}
	for _, object := range objects {
		list[names([]*unstructured.Unstructured{object})[0]] = object.Object
	}
	return list
}

// TestChartValues follows values to where they end up.
func TestChartValues(t *testing.T) {
	template := helm(t)
	rendered, err := template("elsewhere", `
image: {repository: registry.example/portcullis, digest: "sha256:`+strings.Repeat("a", 64)+`", pullSecrets: [pull]}
replicas: 5
preset: restricted
pullSecrets: true
registries: {mirrors: [{from: docker.io, to: [mirror.example/docker.io]}], tagTTL: 30s}
certificates: {lifetime: 720h}
webhook: {failurePolicy: {validate: Ignore, mutate: Fail}, timeoutSeconds: 3, excludeNamespaces: [calico-system, elsewhere]}
log: {level: debug, format: json}
cpu: 500m
memory: {limit: 512Mi, soft: 448MiB}
podAnnotations: {team: shop}
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
`)
	if err != nil {
		t.Fatal(err)
	}
	objects := byIdentity(rendered)
	for _, test := range []struct {
		object string
		path   []any
		want   any
	}{
		{"Deployment elsewhere/portcullis", []any{"spec", "replicas"}, int64(5)},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "metadata", "annotations", "team"}, "shop"},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "imagePullSecrets"}, []any{map[string]any{"name": "pull"}}},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "nodeSelector"}, map[string]any{"disk": "ssd"}},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "tolerations"}, []any{map[string]any{"key": "dedicated", "operator": "Exists"}}},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "containers", 0, "image"}, "registry.example/portcullis@sha256:" + strings.Repeat("a", 64)},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "containers", 0, "args"}, []any{
			"serve", "--self-signed", "--certificate-lifetime=720h", "--secret=elsewhere/portcullis-certificate", "--dns-names=portcullis.elsewhere.svc",
			"--guard-registration=elsewhere/portcullis-registration",
			"--lease=elsewhere/portcullis", "--exception-namespaces=elsewhere",
			"--preset=restricted", "--registries=/etc/portcullis/registries.yaml", "--pull-secrets", "--log-level=debug", "--log-format=json",
		}},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "containers", 0, "resources", "limits", "memory"}, "512Mi"},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "containers", 0, "env", 0, "value"}, "448MiB"},
		{"Deployment elsewhere/portcullis", []any{"spec", "template", "spec", "containers", 0, "volumeMounts", 0, "mountPath"}, "/etc/portcullis"},
		{"ConfigMap elsewhere/portcullis-registries", []any{"data", "registries.yaml"}, "apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\nmirrors:\n- from: docker.io\n  to:\n  - mirror.example/docker.io\ntagTTL: 30s\n"},
		{"ValidatingWebhookConfiguration portcullis", []any{"webhooks", 0, "failurePolicy"}, "Ignore"},
		{"ValidatingWebhookConfiguration portcullis", []any{"webhooks", 1, "failurePolicy"}, "Fail"}, // labels and policies are not workloads
		{"ValidatingWebhookConfiguration portcullis", []any{"webhooks", 0, "timeoutSeconds"}, int64(3)},
		{"ValidatingWebhookConfiguration portcullis", []any{"webhooks", 0, "clientConfig", "service", "namespace"}, "elsewhere"},
		{"MutatingWebhookConfiguration portcullis", []any{"webhooks", 0, "failurePolicy"}, "Fail"},
		{"MutatingWebhookConfiguration portcullis", []any{"webhooks", 0, "namespaceSelector", "matchExpressions", 0, "values"}, []any{"kube-system", "elsewhere", "calico-system"}},
		{"ClusterRoleBinding portcullis", []any{"subjects", 0, "namespace"}, "elsewhere"},
	} {
		if diff := cmp.Diff(test.want, at(objects[test.object], test.path...)); diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", test.object, test.path, diff)
		}
	}
	revision := at(objects["ValidatingWebhookConfiguration portcullis"], "metadata", "annotations", "portcullis.dev/registration-revision")
	if !regexp.MustCompile(`^r-[0-9a-f]{12}-[0-9a-f]{12}$`).MatchString(fmt.Sprint(revision)) {
		t.Errorf("got the revision %v, want one that the values have a part in", revision)
	}
	for name, object := range objects {
		// The CRDs describe the default of --exception-namespaces.
		if text := fmt.Sprint(object); !strings.HasPrefix(name, "CustomResourceDefinition ") && strings.Contains(text, harness.SystemNamespace) {
			t.Errorf("%s names %s, want the release's namespace: %s", name, harness.SystemNamespace, text)
		}
	}
}

// at follows keys and indexes; nil is where one leads nowhere.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := value.(map[string]any)
			value = fields[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

// TestChartRefuses holds that a value that is not known or not valid is refused,
// with its name.
func TestChartRefuses(t *testing.T) {
	template := helm(t)
	for values, want := range map[string]string{
		"{replica: 3}":                                         "additional properties 'replica' not allowed",
		"{replicas: 0}":                                        "at '/replicas': minimum: got 0, want 1",
		"{certificates: {mode: vault}}":                        "at '/certificates/mode': value must be one of 'self-signed', 'cert-manager'",
		"{certificates: {lifetime: 90d}}":                      "at '/certificates/lifetime': '90d' does not match pattern",
		"{webhook: {failurePolicy: {validate: Maybe}}}":        "at '/webhook/failurePolicy/validate': value must be one of 'Fail', 'Ignore'",
		"{webhook: {timeoutSeconds: 30}}":                      "at '/webhook/timeoutSeconds': maximum: got 30, want 10",
		`{webhook: {excludeNamespaces: ["team-*"]}}`:           "at '/webhook/excludeNamespaces/0': 'team-*' does not match pattern",
		"{image: {digest: latest}}":                            "at '/image/digest': 'latest' does not match pattern",
		"{preset: strict}":                                     "at '/preset': value must be one of 'audit', 'baseline', 'restricted', 'none'",
		"{registries: {kind: RegistryConfig}}":                 "at '/registries': additional properties 'kind' not allowed",
		"{monitoring: {enabled: true}}":                        "at '/monitoring': got object, want boolean",
		"{memory: {limit: lots}}":                              "at '/memory/limit': 'lots' does not match pattern",
		"{log: {level: verbose}}":                              "at '/log/level': value must be one of 'debug', 'info', 'warn', 'error'",
		"{podAnnotations: {team: {name: shop}}}":               "at '/podAnnotations/team': got object, want string",
		`{registries: {mirrors: [{from: docker.io}]}}`:         "at '/registries/mirrors/0': missing property 'to'",
		`{registries: {mirrors: [{from: docker.io, to: []}]}}`: "at '/registries/mirrors/0/to': minItems: got 0, want 1",
	} {
		if _, err := template(harness.SystemNamespace, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("values %s: got %v, want a refusal that says %q", values, err, want)
		}
	}
}

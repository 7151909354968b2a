package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/image"
)

// helm builds the pinned Helm and returns a function that renders the chart.
func helm(t *testing.T) func(namespace, values string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	return helmOf(t, findHelm(t), filepath.Join(manifests, "chart"))
}

// theHelm is where Helm is, once it has been looked for.
var theHelm = sync.OnceValues(func() (string, error) { return harness.FindHelm(context.Background()) })

// findHelm builds Helm and returns where it is.
func findHelm(t *testing.T) string {
	t.Helper()
	program, err := theHelm()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// helmOf returns a function that renders a chart, a folder or a package.
func helmOf(t *testing.T, program, chart string) func(namespace, values string) ([]*unstructured.Unstructured, error) {
	return func(namespace, values string) ([]*unstructured.Unstructured, error) {
		return harness.Release{Chart: chart, Namespace: namespace, Values: values}.Render(t.Context(), program)
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
		{"{auditPage: true}", "self-signed", []string{"audit-page"}},
		{"{auditPage: true, certificates: {mode: cert-manager}}", "cert-manager", []string{"audit-page"}},
	} {
		t.Run(test.values, func(t *testing.T) {
			rendered, err := template(harness.SystemNamespace, test.values)
			if err != nil {
				t.Fatal(err)
			}
			compareChart(t, kustomization(t, test.overlay, test.components...), rendered)
		})
	}
}

// compareChart compares what the chart renders with a kustomization.
func compareChart(t *testing.T, kustomized, rendered []*unstructured.Unstructured) {
	t.Helper()
	want, got := byIdentity(kustomized), byIdentity(rendered)
	delete(want, "Namespace "+harness.SystemNamespace)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("objects (-kustomize +chart):\n%s", diff)
	}
	for name := range want {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s (-kustomize +chart):\n%s", name, diff)
		}
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
			"--lease=elsewhere/portcullis", "--heartbeat-lease=elsewhere/portcullis-heartbeat", "--denied=elsewhere/portcullis-denied", "--exception-namespaces=elsewhere",
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

// TestChartVersion holds that a chart packed with a version names it, unless the
// values name another.
func TestChartVersion(t *testing.T) {
	program, folder := findHelm(t), t.TempDir()
	pack := exec.CommandContext(t.Context(), program, "package", "--app-version", "v1.2.3", "--destination", folder, filepath.Join(manifests, "chart"))
	if output, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	packed, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("got packages %v (%v), want one", packed, err)
	}
	template := helmOf(t, program, packed[0])
	for values, want := range map[string]string{
		"{}":                     "ghcr.io/portcullis-dev/portcullis:v1.2.3",
		"{image: {tag: v1.2.4}}": "ghcr.io/portcullis-dev/portcullis:v1.2.4",
	} {
		rendered, err := template(harness.SystemNamespace, values)
		if err != nil {
			t.Fatal(err)
		}
		deployment := byIdentity(rendered)["Deployment portcullis-system/portcullis"]
		if got := at(deployment, "spec", "template", "spec", "containers", 0, "image"); got != want {
			t.Errorf("values %s: got image %v, want %s", values, got, want)
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
		"{replica: 3}":                                                          "additional properties 'replica' not allowed",
		"{replicas: 0}":                                                         "at '/replicas': minimum: got 0, want 1",
		"{certificates: {mode: vault}}":                                         "at '/certificates/mode': value must be one of 'self-signed', 'cert-manager'",
		"{certificates: {lifetime: 90d}}":                                       "at '/certificates/lifetime': '90d' does not match pattern",
		"{webhook: {failurePolicy: {validate: Maybe}}}":                         "at '/webhook/failurePolicy/validate': value must be one of 'Fail', 'Ignore'",
		"{webhook: {timeoutSeconds: 30}}":                                       "at '/webhook/timeoutSeconds': maximum: got 30, want 10",
		`{webhook: {excludeNamespaces: ["team-*"]}}`:                            "at '/webhook/excludeNamespaces/0': 'team-*' does not match pattern",
		"{image: {digest: latest}}":                                             "at '/image/digest': 'latest' does not match pattern",
		"{preset: strict}":                                                      "at '/preset': value must be one of 'audit', 'baseline', 'restricted', 'none'",
		"{registries: {kind: RegistryConfig}}":                                  "at '/registries': additional properties 'kind' not allowed",
		"{monitoring: {enabled: true}}":                                         "at '/monitoring': got object, want boolean",
		"{memory: {limit: lots}}":                                               "at '/memory/limit': 'lots' does not match pattern",
		"{memory: {soft: 0MiB}}":                                                "at '/memory/soft': '0MiB' does not match pattern",
		"{memory: {limit: 128Mi}}":                                              "memory.soft is 224MiB and memory.limit 128Mi: the kernel would end Portcullis before the collector works harder. Write at most seven eighths of the limit, 112MiB",
		"{memory: {soft: 2GiB, limit: 1Gi}}":                                    "memory.soft is 2GiB and memory.limit 1Gi: ",
		"{memory: {request: 1Gi}}":                                              "memory.request is 1Gi and memory.limit 256Mi: no pod may request more than its limit",
		"{registries: {tagTTL: 30}}":                                            "at '/registries/tagTTL': got number, want string",
		"{registries: {tagTTL: 1d}}":                                            "at '/registries/tagTTL': '1d' does not match pattern",
		`{registries: {timeout: "3"}}`:                                          "at '/registries/timeout': '3' does not match pattern",
		"{registries: {maxStale: soon}}":                                        "at '/registries/maxStale': 'soon' does not match pattern",
		"{registries: {allow: {cidrs: [10.0.0.0]}}}":                            "at '/registries/allow/cidrs/0': '10.0.0.0' does not match pattern",
		"{registries: {allow: {cidrs: [10.0.0.256/24]}}}":                       "at '/registries/allow/cidrs/0': '10.0.0.256/24' does not match pattern",
		"{registries: {allow: {cidrs: [0.0.0.0/0]}}}":                           "at '/registries/allow/cidrs/0': '0.0.0.0/0' does not match pattern",
		`{registries: {allow: {cidrs: ["fd12::/129"]}}}`:                        "at '/registries/allow/cidrs/0': 'fd12::/129' does not match pattern",
		`{registries: {allow: {hosts: ["https://r.example"]}}}`:                 "at '/registries/allow/hosts/0': 'https://r.example' does not match pattern",
		`{registries: {insecure: ["*.example"]}}`:                               "at '/registries/insecure/0': '*.example' does not match pattern",
		`{registries: {mirrors: [{from: docker.io, to: ["m.example/UPPER"]}]}}`: "at '/registries/mirrors/0/to/0': 'm.example/UPPER' does not match pattern",
		`{image: {tag: "v1:2"}}`:                                                "at '/image/tag': 'v1:2' does not match pattern",
		"{log: {level: verbose}}":                                               "at '/log/level': value must be one of 'debug', 'info', 'warn', 'error'",
		"{podAnnotations: {team: {name: shop}}}":                                "at '/podAnnotations/team': got object, want string",
		`{registries: {mirrors: [{from: docker.io}]}}`:                          "at '/registries/mirrors/0': missing property 'to'",
		`{registries: {mirrors: [{from: docker.io, to: []}]}}`:                  "at '/registries/mirrors/0/to': minItems: got 0, want 1",
		"{tenantGuard: true}":                                                   "at '/tenantGuard': got boolean, want object",
		"{tenantGuard: {groups: [a]}}":                                          "at '/tenantGuard': additional properties 'groups' not allowed",
		`{tenantGuard: {trustedGroups: [""]}}`:                                  "at '/tenantGuard/trustedGroups/0': '' does not match pattern",
		`{tenantGuard: {trustedUsers: ["a\nb"]}}`:                               "at '/tenantGuard/trustedUsers/0': 'a\\nb' does not match pattern",
		"{tenantGuard: {enabled: true, trustedGroups: [system:authenticated]}}": "tenantGuard.trustedGroups has system:authenticated, which is no group of people who are trusted: name a smaller one",
		"{exceptionNamespaces: ['*']}":                                          "at '/exceptionNamespaces/0': '*' does not match pattern",
		"{nativeFallback: baseline}":                                            "at '/nativeFallback': got string, want boolean",
		"{policyReports: {}}":                                                   "at '/policyReports': got object, want boolean",
		"{cloudEvents: {url: broker.example}}":                                  "at '/cloudEvents/url': 'broker.example' does not match pattern",
		"{cloudEvents: {url: 'https://u:p@broker.example'}}":                    "at '/cloudEvents/url': 'https://u:p@broker.example' does not match pattern",
		"{cloudEvents: {source: 'my cluster'}}":                                 "at '/cloudEvents/source': 'my cluster' does not match pattern",
		"{cloudEvents: {egress: {ports: [http]}}}":                              "at '/cloudEvents/egress/ports/0': got string, want integer",
		"{networkPolicy: true, cloudEvents: {url: 'http://broker.example/x'}}":  "networkPolicy lets nothing out to port 80 of cloudEvents.url: write it into cloudEvents.egress.ports, with the port of the pods behind it if that is another",
		"{networkPolicy: true, cloudEvents: {url: 'https://[fd12::1]:8443'}}":   "networkPolicy lets nothing out to port 8443 of cloudEvents.url",
		"{extraArgs: [audit-interval=5m]}":                                      "at '/extraArgs/0': 'audit-interval=5m' does not match pattern",
		"{extraArgs: [--lock, /etc/lock]}":                                      "at '/extraArgs/1': '/etc/lock' does not match pattern",
		"{extraArgs: [-h]}":                                                     "at '/extraArgs/0': '-h' does not match pattern",
		"{extraArgs: [--audit-intervall=5m]}":                                   "extraArgs has --audit-intervall, which is no flag of portcullis serve; docs/cli.md lists them",
		"{extraArgs: [--lock=/x, --log-level=debug]}":                           "extraArgs has --log-level, which is the chart's to set: set log.level",
		"{extraArgs: ['--secret=a/b']}":                                         "extraArgs has --secret, which is the chart's to set: leave it out, it is in the release's namespace",
		"{extraVolumes: [{emptyDir: {}}]}":                                      "at '/extraVolumes/0': missing property 'name'",
		"{extraVolumeMounts: [{name: lock}]}":                                   "at '/extraVolumeMounts/0': missing property 'mountPath'",
		"{affinity: {nodes: {}}}":                                               "at '/affinity': additional properties 'nodes' not allowed",
		"{podLabels: {team: 1}}":                                                "at '/podLabels/team': got number, want string",
		"{podLabels: {app.kubernetes.io/name: web}}":                            "podLabels has app.kubernetes.io/name, by which the chart's Services find its pods: leave it out",
	} {
		if _, err := template(harness.SystemNamespace, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("values %s: got %v, want a refusal that says %q", values, err, want)
		}
	}
}

// TestChartAccepts holds that the schema refuses nothing that `portcullis serve`
// takes, and that memory may be as large as its limit.
func TestChartAccepts(t *testing.T) {
	template := helm(t)
	for _, values := range []string{
		`{registries: {allow: {hosts: ["r.example:443", "[fd12::1]:5000", localhost], cidrs: [10.20.0.0/16, 192.168.7.1/32, "fd12::/32", "::1/128"]}}}`,
		`{registries: {insecure: ["localhost:5000", "10.1.2.3:5000"], mirrors: [{from: docker.io/library, to: [mirror.example/docker.io/library, "10.1.2.3:5000"]}]}}`,
		"{registries: {timeout: 1.5s, tagTTL: 1h30m, maxStale: 0s}}",
		"{memory: {request: 1Gi, limit: 1Gi, soft: 1024MiB}}",
		"{image: {tag: v1.2.3}}",
		"{networkPolicy: true, cloudEvents: {url: 'https://broker.example'}}",
		"{networkPolicy: true, cloudEvents: {url: 'https://10.1.2.3:6443/x'}}",
		"{networkPolicy: true, cloudEvents: {source: //prod}}",
		"{cloudEvents: {url: 'http://broker.example'}}",
		// As helm upgrade --reuse-values has it after a chart without them.
		"{networkPolicy: true, cloudEvents: null, tenantGuard: null, podLabels: null, extraArgs: null, exceptionNamespaces: null}",
	} {
		rendered, err := template(harness.SystemNamespace, values)
		if err != nil {
			t.Errorf("values %s: %v", values, err)
			continue
		}
		config, found := at(byIdentity(rendered)["ConfigMap portcullis-system/portcullis-registries"], "data", "registries.yaml").(string)
		if !found {
			continue
		}
		if _, err := image.LoadConfig([]byte(config), "registries.yaml"); err != nil {
			t.Errorf("values %s: serve refuses them: %v", values, err)
		}
	}
}

package e2e_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// documentedComponents are the values of the chart that stand for each component, as
// the table of docs/operations.md has them.
func documentedComponents(t *testing.T) map[string]string {
	t.Helper()
	_, table, found := strings.Cut(operations(t), "\n| component | value of the chart |")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/operations.md has no table of components")
	}
	values := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		values[row[1]] = row[2]
	}
	return values
}

// TestChartComponents compares what the chart renders for each component with a
// kustomization that adds it. A component without a row in the table of
// docs/operations.md fails it.
func TestChartComponents(t *testing.T) {
	template := helm(t)
	folders, err := filepath.Glob(filepath.Join(manifests, "components", "*"))
	if err != nil || len(folders) < 9 {
		t.Fatalf("got components %v (%v), want nine and more", folders, err)
	}
	documented := documentedComponents(t)
	for _, folder := range folders {
		name := filepath.Base(folder)
		values := documented[name]
		delete(documented, name)
		if values == "" {
			t.Errorf("the table of docs/operations.md does not say which value of the chart stands for the component %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			// All of them with cert-manager, whom the tenant guard trusts only then.
			components := []string{"cert-manager"}
			if name != "cert-manager" {
				components = append(components, name)
				values += "\n" + "certificates: {mode: cert-manager}"
			}
			rendered, err := template(harness.SystemNamespace, values)
			if err != nil {
				t.Fatal(err)
			}
			kept := takeKept(rendered)
			if want := map[string]int{"policy-reports": 2}[name]; kept != want {
				t.Errorf("Helm would keep %d objects, want %d: the kinds that are not ours", kept, want)
			}
			compareChart(t, kustomization(t, "self-signed", components...), rendered)
		})
	}
	for name := range documented {
		t.Errorf("the table of docs/operations.md has the component %s, which there is not", name)
	}
}

// takeKept takes away the annotation by which Helm leaves objects when their release
// goes, and returns how many had it.
func takeKept(objects []*unstructured.Unstructured) int {
	const annotation = "helm.sh/resource-policy"
	kept := 0
	for _, object := range objects {
		annotations := object.GetAnnotations()
		if annotations[annotation] != "keep" {
			continue
		}
		kept++
		delete(annotations, annotation)
		object.SetAnnotations(annotations)
	}
	return kept
}

// everyValue switches on all that the chart has, but for certificates by cert-manager.
const everyValue = `
highAvailability: true
certificates: {lifetime: 720h}
preset: baseline
registries: {tagTTL: 30s}
pullSecrets: true
exceptionNamespaces: [exceptions, more-exceptions]
webhook: {excludeNamespaces: [calico-system]}
log: {level: debug, format: json}
podLabels: {team: shop}
affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: zone}}]}}
extraArgs: [--lock=/etc/lock/portcullis.lock, "--policy=/etc/a \"b\" {{c}}: d"]
extraVolumes: [{name: lock, configMap: {name: lock}}]
extraVolumeMounts: [{name: lock, mountPath: /etc/lock, readOnly: true}]
networkPolicy: true
monitoring: true
dashboard: true
auditPage: true
policyReports: true
nativeFallback: true
tenantGuard: {enabled: true, trustedGroups: [platform], trustedUsers: [argocd]}
cloudEvents: {url: "http://broker.example/x?y=z", source: //prod.example.com, egress: {ports: [80]}}
`

// TestChartElsewhere renders all that there is into another namespace than the one
// of the kustomizations, which nothing refers to then.
func TestChartElsewhere(t *testing.T) {
	rendered, err := helm(t)("elsewhere", everyValue)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range rendered {
		if object.GetKind() == "CustomResourceDefinition" {
			continue // they describe the default of --exception-namespaces
		}
		text := fmt.Sprint(object.Object)
		for _, other := range []string{harness.SystemNamespace, "system-namespace", "'exception-namespaces'", "trusted-groups", "trusted-users"} {
			if strings.Contains(text, other) {
				t.Errorf("%s %s names %s: %s", object.GetKind(), object.GetName(), other, text)
			}
		}
	}
	objects := byIdentity(rendered)
	for object, want := range map[string]string{
		"ValidatingAdmissionPolicy portcullis-guard-policies":        "request.namespace in ['exceptions', 'more-exceptions']",
		"ValidatingAdmissionPolicy portcullis-guard-namespace":       "matchLabels:map[kubernetes.io/metadata.name:elsewhere]",
		"ValidatingAdmissionPolicy portcullis-guard-labels":          "request.name != 'elsewhere'",
		"ValidatingAdmissionPolicy portcullis-guard-definitions":     "'system:serviceaccounts:elsewhere'",
		"ValidatingAdmissionPolicy portcullis-baseline-podsecurity":  "values:[kube-system elsewhere calico-system]",
		"NetworkPolicy elsewhere/portcullis":                         "ports:[map[port:80]]",
		"Deployment elsewhere/portcullis":                            "labels:map[app.kubernetes.io/name:portcullis team:shop]",
		"ValidatingWebhookConfiguration portcullis":                  "values:[kube-system elsewhere calico-system]",
		"CustomResourceDefinition policyreports.wgpolicyk8s.io":      "helm.sh/resource-policy:keep",
		"ClusterRoleBinding portcullis-audit-page":                   "namespace:elsewhere",
		"ValidatingAdmissionPolicyBinding portcullis-guard-policies": "policyName:portcullis-guard-policies",
	} {
		if text := fmt.Sprint(objects[object]); !strings.Contains(text, want) {
			t.Errorf("%s has no %q: %s", object, want, text)
		}
	}
	deployment := find[appsv1.Deployment](t, rendered, "Deployment").Spec.Template.Spec
	container := deployment.Containers[0]
	if diff := cmp.Diff([]string{
		"--exception-namespaces=exceptions,more-exceptions", "--preset=baseline", "--registries=/etc/portcullis/registries.yaml", "--pull-secrets",
		"--log-level=debug", "--log-format=json", "--audit-address=:8083", "--cloudevents-url=http://broker.example/x?y=z",
		"--cloudevents-source=//prod.example.com", "--lock=/etc/lock/portcullis.lock", `--policy=/etc/a "b" {{c}}: d`,
	}, container.Args[len(container.Args)-11:]); diff != "" {
		t.Errorf("the last flags (-want +got):\n%s", diff)
	}
	if len(container.VolumeMounts) != 2 || container.VolumeMounts[1].MountPath != "/etc/lock" || len(deployment.Volumes) != 2 || deployment.Volumes[1].ConfigMap.Name != "lock" {
		t.Errorf("got the volumes %v, mounted by %v, want registries and lock", deployment.Volumes, container.VolumeMounts)
	}
	if deployment.Affinity.PodAffinity == nil {
		t.Error("got no podAffinity")
	}
}

// TestChartTenantGuard compares the tenant guard of the chart with what portcullis
// export vap --guard writes for the same names, odd ones too.
func TestChartTenantGuard(t *testing.T) {
	binary, err := harness.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	template := helm(t)
	odd := []string{`CORP\admins`, "the team's own", `the "best" team`, "CN=admins,OU=cluster", "équipe", "oidc:a/b", "{{ . }}", "$1", `'trusted-users'`, "system-namespace"}
	components := []string{"system:masters", "kubeadm:cluster-admins"}
	values := func(names []string) string {
		var list []string
		for _, name := range names {
			list = append(list, "'"+strings.ReplaceAll(name, "'", "''")+"'")
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	for _, test := range []struct {
		name, namespace, values   string
		exceptions, groups, users []string
	}{
		{"nobody more", harness.SystemNamespace, "tenantGuard: {enabled: true}", []string{harness.SystemNamespace}, components, nil},
		{
			"cert-manager", harness.SystemNamespace, "{certificates: {mode: cert-manager}, tenantGuard: {enabled: true, trustedGroups: [platform, system:masters]}}",
			[]string{harness.SystemNamespace},
			append(slices.Clone(components), "system:serviceaccounts:cert-manager", "platform"), nil,
		},
		{
			"odd names", "elsewhere", "{exceptionNamespaces: [a, b], tenantGuard: {enabled: true, trustedGroups: " + values(odd) + ", trustedUsers: " + values(odd) + "}}",
			[]string{"a", "b"},
			append(slices.Clone(components), odd...), odd,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			export := exec.CommandContext(t.Context(), binary, "export", "vap", "--guard", "--system-namespace="+test.namespace,
				"--exception-namespaces="+commaSeparated(t, test.exceptions), "--trusted-groups="+commaSeparated(t, test.groups), "--trusted-users="+commaSeparated(t, test.users))
			output, err := export.Output()
			if err != nil {
				t.Fatalf("exporting: %v", err)
			}
			want, err := harness.DecodeAll(bytes.NewReader(output))
			if err != nil || len(want) != 8 {
				t.Fatalf("got %d exported objects (%v), want 8", len(want), err)
			}
			rendered, err := template(test.namespace, test.values)
			if err != nil {
				t.Fatal(err)
			}
			compareChart(t, want, slices.DeleteFunc(rendered, func(o *unstructured.Unstructured) bool {
				return o.GetLabels()["app.kubernetes.io/component"] != "tenant-guard"
			}))
		})
	}
}

// commaSeparated writes names as a flag reads them.
func commaSeparated(t *testing.T, names []string) string {
	t.Helper()
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(names); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// TestChartFlags holds that extraArgs cannot have a flag that the chart sets, whatever
// the values.
func TestChartFlags(t *testing.T) {
	read := func(parts ...string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{manifests, "chart"}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	flags := func(text, pattern string) (list []string) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, match[1])
		}
		return list
	}
	_, table, _ := strings.Cut(read("templates", "_args.tpl"), `{{- define "portcullis.ownFlags" -}}`)
	table, _, _ = strings.Cut(table, "{{- end -}}")
	own := flags(table, `(?m)^([a-z-]+): .`)
	known := strings.Fields(read("files", "serve-flags.txt"))
	for _, flag := range flags(read("templates", "40-deployment.yaml"), `(?m)^ +- --([a-z-]+)`) {
		if !slices.Contains(own, flag) {
			t.Errorf("the chart sets --%s, and _args.tpl lets extraArgs have it too", flag)
		}
	}
	for _, flag := range own {
		if !slices.Contains(known, flag) {
			t.Errorf("_args.tpl has --%s, which is no flag of portcullis serve", flag)
		}
	}
	if len(own) < 20 || len(known) < 35 {
		t.Errorf("got %d flags of the chart's own and %d in all: the test proves nothing", len(own), len(known))
	}
	var others []string
	for _, flag := range known {
		if !slices.Contains(own, flag) {
			others = append(others, "--"+flag+"=x")
		}
	}
	if _, err := helm(t)(harness.SystemNamespace, "extraArgs: ["+strings.Join(others, ", ")+"]"); err != nil {
		t.Errorf("the chart refuses flags that are not its own: %v", err)
	}
}

// TestDocumentedValues renders the values of the chart that docs/operations.md has.
// The last ones are the last kustomization.
func TestDocumentedValues(t *testing.T) {
	template := helm(t)
	var rendered [][]*unstructured.Unstructured
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(operations(t), -1) {
		if strings.Contains(block[1], "kind: Kustomization\n") {
			continue
		}
		objects, err := template(harness.SystemNamespace, block[1])
		if err != nil {
			t.Fatalf("%v in\n%s", err, block[1])
		}
		rendered = append(rendered, objects)
	}
	if len(rendered) != 3 {
		t.Fatalf("got %d sets of values, want 3", len(rendered))
	}
	kustomizations := documentedKustomizations(t)
	compareChart(t, kustomizations[len(kustomizations)-1], rendered[len(rendered)-1])
}

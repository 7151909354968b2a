// Package e2e_test checks the manifests without a cluster: what they register, what
// they may do, and that the names in them are the ones that `portcullis serve`
// goes by.
package e2e_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// manifests is the folder of what is tested.
var manifests = filepath.Join("..", "manifests")

// overlays are the installations that ship, and the components that an admin adds.
func overlays(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(manifests, "overlays", "*"))
	if err != nil || len(folders) < 4 {
		t.Fatalf("got overlays %v (%v), want four and more", folders, err)
	}
	return append(folders, filepath.Join(manifests, "base"))
}

// render builds a folder as kubectl does.
func render(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := harness.Render(folder)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// eachOverlay runs a test for every installation.
func eachOverlay(t *testing.T, test func(*testing.T, []*unstructured.Unstructured)) {
	t.Helper()
	for _, folder := range overlays(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) { test(t, render(t, folder)) })
	}
}

// all decodes the objects of a kind, and refuses fields that it has not.
func all[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var found []T
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		found = append(found, typed)
	}
	return found
}

// find is the one object of its kind.
func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) T {
	t.Helper()
	found := all[T](t, objects, kind)
	if len(found) != 1 {
		t.Fatalf("got %d objects of kind %s, want 1", len(found), kind)
	}
	return found[0]
}

// names lists objects by kind, namespace and name.
func names(objects []*unstructured.Unstructured) []string {
	var list []string
	for _, object := range objects {
		list = append(list, object.GetKind()+" "+strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
	}
	slices.Sort(list)
	return list
}

// TestOverlays lists what each installation consists of.
func TestOverlays(t *testing.T) {
	common := []string{
		"ClusterRole portcullis",
		"ClusterRole portcullis-registration",
		"ClusterRoleBinding portcullis",
		"ClusterRoleBinding portcullis-registration",
		"ConfigMap portcullis-system/portcullis-audit",
		"ConfigMap portcullis-system/portcullis-denied",
		"ConfigMap portcullis-system/portcullis-registration",
		"CustomResourceDefinition podpolicies.portcullis.dev",
		"CustomResourceDefinition policyexceptions.portcullis.dev",
		"Deployment portcullis-system/portcullis",
		"Lease portcullis-system/portcullis",
		"Lease portcullis-system/portcullis-heartbeat",
		"MutatingWebhookConfiguration portcullis",
		"Namespace portcullis-system",
		"Role portcullis-system/portcullis-leader",
		"Role portcullis-system/portcullis-registration",
		"RoleBinding portcullis-system/portcullis-leader",
		"RoleBinding portcullis-system/portcullis-registration",
		"Service portcullis-system/portcullis",
		"ServiceAccount portcullis-system/portcullis",
		"ValidatingWebhookConfiguration portcullis",
	}
	selfSigned := []string{
		"ClusterRole portcullis-self-signed",
		"ClusterRoleBinding portcullis-self-signed",
		"Role portcullis-system/portcullis-self-signed",
		"RoleBinding portcullis-system/portcullis-self-signed",
		"Secret portcullis-system/portcullis-certificate",
	}
	certManager := []string{
		"Certificate portcullis-system/portcullis",
		"Certificate portcullis-system/portcullis-ca",
		"Issuer portcullis-system/portcullis",
		"Issuer portcullis-system/portcullis-root",
	}
	highAvailability := []string{"PodDisruptionBudget portcullis-system/portcullis", "PriorityClass portcullis"}
	want := map[string][]string{
		"base":                           slices.Concat(common, selfSigned),
		"self-signed":                    slices.Concat(common, selfSigned),
		"cert-manager":                   slices.Concat(common, certManager),
		"high-availability":              slices.Concat(common, selfSigned, highAvailability),
		"high-availability-cert-manager": slices.Concat(common, certManager, highAvailability),
	}
	for _, folder := range overlays(t) {
		expected := want[filepath.Base(folder)]
		if expected == nil {
			t.Errorf("%s is not in the list of this test", folder)
		}
		slices.Sort(expected)
		if diff := cmp.Diff(expected, names(render(t, folder))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", folder, diff)
		}
	}
}

// TestFiles holds that a file has one object, is named after it, and is built in
// the order of the files' numbers.
func TestFiles(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(manifests, "components", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(folders, filepath.Join(manifests, "base"), filepath.Join(manifests, "pull-secrets")) {
		var kustomization struct {
			Resources []string
			Patches   []struct{ Path string }
		}
		readYAML(t, filepath.Join(folder, "kustomization.yaml"), &kustomization)
		listed := slices.DeleteFunc(slices.Clone(kustomization.Resources), func(r string) bool {
			return strings.HasPrefix(r, "../") || strings.Contains(r, "_") // generated, and named by the generator
		})
		for _, patch := range kustomization.Patches {
			if patch.Path != "" {
				listed = append(listed, patch.Path)
			}
		}
		if !slices.IsSorted(listed) {
			t.Errorf("%s: got %v, want them in the order of their numbers", folder, listed)
		}
		files, err := filepath.Glob(filepath.Join(folder, "[0-9][0-9]-*.yaml"))
		if err != nil || len(files) != len(listed) {
			t.Errorf("%s: got %d numbered files (%v), want the %d that are listed", folder, len(files), err, len(listed))
		}
		for _, file := range files {
			var object struct{ Kind string }
			readYAML(t, file, &object)
			if name := filepath.Base(file)[len("00-"):]; !strings.HasPrefix(name, strings.ToLower(object.Kind)) {
				t.Errorf("%s: has a %s, want it named so", file, object.Kind)
			}
		}
	}
}

// readYAML reads a file with one document.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "\n---") {
		t.Errorf("%s: has more than one document", path)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// operations is the text of docs/operations.md.
func operations(t *testing.T) string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// documentedKustomizations builds the kustomizations of docs/operations.md, with this
// checkout in the place of the one that they name.
func documentedKustomizations(t *testing.T) (built [][]*unstructured.Unstructured) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(operations(t), -1) {
		if !strings.Contains(block[1], "kind: Kustomization\n") {
			continue // values of the chart: TestDocumentedValues
		}
		dir := t.TempDir()
		checkout, err := filepath.Rel(dir, root)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(block[1], "https://github.com/portcullis-dev/portcullis//", checkout+"/")
		write(t, filepath.Join(dir, "kustomization.yaml"), []byte(text))
		built = append(built, render(t, dir))
	}
	return built
}

func TestDocumentedKustomizations(t *testing.T) {
	var built []string
	for _, objects := range documentedKustomizations(t) {
		rendered, err := yaml.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, string(rendered))
	}
	if len(built) != 3 {
		t.Fatalf("got %d kustomizations, want 3", len(built))
	}
	for _, want := range []string{"image: registry.example.com/portcullis:v1.2.3", "kind: NetworkPolicy", "kind: ServiceMonitor"} {
		if !strings.Contains(built[0], want) {
			t.Errorf("the first has no %q", want)
		}
	}
	if got := strings.Count(built[1], "- calico-system"); got != 2 {
		t.Errorf("the second leaves calico-system out %d times, want once for each configuration", got)
	}
	for _, want := range []string{"- --cloudevents-url=http://broker-ingress", "kubernetes.io/metadata.name: knative-eventing"} {
		if !strings.Contains(built[2], want) {
			t.Errorf("the third has no %q", want)
		}
	}
}

// TestGenerated compares the files that `make generate` writes with what they are
// made of.
func TestGenerated(t *testing.T) {
	files, err := harness.Generated(manifests)
	if err != nil {
		t.Fatal(err)
	}
	revised, err := harness.Revised(manifests)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, revised)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(manifests, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("manifests/%s is not up to date (%v): run make generate", name, err)
		}
	}
	for _, pattern := range []string{"chart/files/*.*", "chart/files/*/*", "*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(manifests, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if name, err := filepath.Rel(manifests, path); err != nil || files[name] == nil {
				t.Errorf("%s is not made by `make generate` (%v)", path, err)
			}
		}
	}
}

// TestRights holds the ClusterRole and the Role to what the comments in them say.
func TestRights(t *testing.T) { eachOverlay(t, testRights) }

func testRights(t *testing.T, objects []*unstructured.Unstructured) {
	var cluster, own []rbacv1.PolicyRule
	for _, role := range all[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		cluster = append(cluster, role.Rules...)
	}
	for _, role := range all[rbacv1.Role](t, objects, "Role") {
		own = append(own, role.Rules...)
	}
	for _, rule := range slices.Concat(cluster, own) {
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
			if strings.Contains(word, "*") {
				t.Errorf("the rule %v names everything", rule)
			}
		}
		named := []string{
			"portcullis", "portcullis-certificate", "portcullis-heartbeat", "portcullis-denied", "portcullis-audit", "portcullis-registration",
		}
		others := func(name string) bool { return !slices.Contains(named, name) }
		if slices.Contains(rule.Verbs, "update") && (len(rule.ResourceNames) == 0 || slices.ContainsFunc(rule.ResourceNames, others)) &&
			!slices.Equal(rule.Resources, []string{"podpolicies/status", "policyexceptions/status"}) {
			t.Errorf("the rule %v changes more than our own objects", rule)
		}
		if slices.Equal(rule.APIGroups, []string{"openreports.io"}) || slices.Equal(rule.APIGroups, []string{"wgpolicyk8s.io"}) {
			if !slices.Equal(rule.ResourceNames, []string{"portcullis"}) {
				t.Errorf("the rule %v reaches the reports of others", rule)
			}
			continue
		}
		if len(rule.ResourceNames) == 1 && slices.Equal(rule.APIGroups, []string{"admissionregistration.k8s.io"}) {
			continue // by name: TestRegistrationGuard shows that create is bound by it too
		}
		if slices.Equal(rule.APIGroups, []string{"events.k8s.io"}) && slices.Equal(rule.Resources, []string{"events"}) && slices.Equal(rule.Verbs, []string{"create", "patch"}) {
			continue // what nobody acts on
		}
		for _, verb := range []string{"create", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate"} {
			if slices.Contains(rule.Verbs, verb) {
				t.Errorf("the rule %v has the verb %s", rule, verb)
			}
		}
	}
	for _, rule := range cluster {
		if slices.Contains(rule.Resources, "secrets") {
			t.Errorf("the ClusterRole reads secrets of every namespace: %v", rule)
		}
		if len(rule.ResourceNames) == 0 && slices.ContainsFunc(rule.Resources, func(r string) bool { return strings.Contains(r, "webhookconfigurations") }) {
			t.Errorf("the ClusterRole reads the webhook configurations of others: %v", rule)
		}
	}
	for _, rule := range own {
		if len(rule.ResourceNames) == 0 {
			t.Errorf("the Role reaches more than what it names: %v", rule)
		}
	}
}

// TestRightsWithReasons holds that each rule says why it is there.
func TestRightsWithReasons(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(manifests, "*", "*role*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		for i, line := range lines {
			if !strings.HasPrefix(line, "- apiGroups:") {
				continue
			}
			if rules++; !strings.HasPrefix(lines[i-1], "# ") {
				t.Errorf("%s:%d: the rule has no comment that says why", file, i+1)
			}
		}
	}
	if rules < 6 {
		t.Errorf("got %d rules, want six and more: the test proves nothing", rules)
	}
}

// TestNames compares the manifests with the defaults of `portcullis serve`.
func TestNames(t *testing.T) {
	binary, err := harness.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), binary, "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, flag := range regexp.MustCompile(`(?m)^\s+--(\S+) .*\(default (.*)\)$`).FindAllStringSubmatch(string(output), -1) {
		defaults[flag[1]] = strings.Trim(flag[2], `[]"`)
	}
	objects := render(t, filepath.Join(manifests, "base"))
	mounted := render(t, filepath.Join(manifests, "overlays", "cert-manager"))
	service := find[corev1.Service](t, objects, "Service")
	secret := find[corev1.Secret](t, objects, "Secret")
	ports := map[string]int32{}
	container := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Containers[0]
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	got := map[string]string{
		"secret":               secret.Namespace + "/" + secret.Name,
		"dns-names":            service.Name + "." + service.Namespace + ".svc",
		"address":              fmt.Sprintf(":%d", ports[service.Spec.Ports[0].TargetPort.String()]),
		"health-address":       fmt.Sprintf(":%d", ports[container.ReadinessProbe.HTTPGet.Port.String()]),
		"cert-dir":             find[appsv1.Deployment](t, mounted, "Deployment").Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath,
		"exception-namespaces": find[corev1.Namespace](t, objects, "Namespace").Name,
		"metrics-address":      fmt.Sprintf(":%d", ports["metrics"]),
	}
	for flag, value := range got {
		if want := defaults[flag]; value != want {
			t.Errorf("--%s: got %q in the manifests, want the default %q", flag, value, want)
		}
	}
	shipped := names(objects)
	for flag, kind := range map[string]string{"lease": "Lease", "heartbeat-lease": "Lease", "denied": "ConfigMap"} {
		if want := kind + " " + defaults[flag]; !slices.Contains(shipped, want) {
			t.Errorf("--%s: the manifests lack %q", flag, want)
		}
	}
}

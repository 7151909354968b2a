package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// run is the end of a command.
type run struct {
	code           int
	stdout, stderr string
}

func portcullis(t testing.TB, c *suite.Cluster, stdin string, args ...string) run {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.Binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running portcullis %v: %v", args, err)
	}
	return run{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// finding is what is compared of a result.
type finding struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Policy    string `json:"policy"`
	Rule      string `json:"rule"`
	Check     string `json:"check"`
	Mode      string `json:"mode"`
	Result    string `json:"result"`
	Container string `json:"container"`
	Field     string `json:"field"`
	Value     any    `json:"value"`
	Message   string `json:"message"`
	Fix       string `json:"fix"`
}

type audited struct {
	Results []finding      `json:"results"`
	Summary map[string]int `json:"summary"`
	Changes []struct {
		Kind, Name, Rule, Mode, Field string
		New                           any
	} `json:"changes"`
	Namespaces []map[string]any `json:"namespaces"`
	Readiness  []struct {
		Namespace, Level, Version      string
		Workloads, Blocked, Repairable int
		Blockers                       []struct{ Check string }
	} `json:"readiness"`
	Unseen []string `json:"unseen"`
	Pods   int      `json:"pods"`
}

func read(t testing.TB, r run) audited {
	t.Helper()
	var a audited
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil {
		t.Fatalf("got exit code %d, stderr %s, no JSON: %v\n%s", r.code, r.stderr, err, r.stdout)
	}
	return a
}

// findings are those that are no passes, sorted.
func (a audited) findings() []finding {
	findings := slices.DeleteFunc(slices.Clone(a.Results), func(f finding) bool { return f.Result == "pass" })
	slices.SortFunc(findings, func(a, b finding) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return findings
}

// badSpec violates level baseline and level restricted.
func badSpec() corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.HostNetwork = true
	spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	return spec
}

// repairableSpec lacks what mutate.hardening sets without a look at the image.
func repairableSpec() corev1.PodSpec {
	spec := suite.GoodSpec()
	spec.SecurityContext.SeccompProfile = nil
	return spec
}

// populate creates good and bad workloads of all kinds, with the pods that the
// controllers make of two Deployments.
func populate(t testing.TB, c *suite.Cluster, namespace string) {
	t.Helper()
	for _, kind := range suite.Kinds() {
		name := strings.ToLower(kind.Name)
		for suffix, spec := range map[string]corev1.PodSpec{"-good": suite.GoodSpec(), "-bad": badSpec()} {
			object := kind.New(namespace, name+suffix, spec)
			if d, ok := object.(*appsv1.Deployment); ok {
				d.Spec.Replicas = ptr.To[int32](3)
			}
			if err := c.Client.Create(t.Context(), object); err != nil {
				t.Fatalf("creating %s %s: %v", kind.Name, name+suffix, err)
			}
		}
	}
	if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, "repairable", repairableSpec())); err != nil {
		t.Fatal(err)
	}
	waitForPods(t, c, namespace, populated)
}

// populated is how many pods populate makes: of Deployments, of StatefulSets, of
// ReplicaSets, ReplicationControllers and Jobs, and alone.
const populated = 2*3 + 3 + 2 + 2 + 2 + 2

// waitForPods waits until a namespace has so many pods.
func waitForPods(t testing.TB, c *suite.Cluster, namespace string, want int) {
	t.Helper()
	suite.Eventually(t, 2*suite.Soon, func() error {
		var pods corev1.PodList
		if err := c.Client.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		if len(pods.Items) != want {
			return fmt.Errorf("got %d pods, want %d", len(pods.Items), want)
		}
		return nil
	})
}

// roots are the manifests of what stands alone, as a person would get them.
func roots(t testing.TB, c *suite.Cluster, namespace string) string {
	t.Helper()
	var objects []any
	for _, kind := range suite.Kinds() {
		path := "/api/v1"
		if kind.Group != "" {
			path = "/apis/" + kind.Group + "/v1"
		}
		data, err := c.Clientset.CoreV1().RESTClient().Get().AbsPath(path, "namespaces", namespace, kind.Resource).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []map[string]any }
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Items {
			if _, owned := object["metadata"].(map[string]any)["ownerReferences"]; !owned {
				object["kind"], object["apiVersion"] = kind.Name, strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
				objects = append(objects, object)
			}
		}
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAuditEqualsCheck requires that the audit of a namespace finds what check
// finds in the manifests of the same objects, in the same words.
func TestAuditEqualsCheck(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, map[string]string{"pod-security.kubernetes.io/warn": "baseline"})
	populate(t, c, namespace)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	const text = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: candidate}\n" +
		"spec: {mutate: {digests: {}, hardening: {}}, validate: {podSecurity: {level: restricted}, registries: {allow: [registry.example.com/**], mode: Warn}, rootUser: {},\n" +
		"  expressions: [{name: few, mode: Warn, expression: '!has(object.spec.replicas) || object.spec.replicas < 3', message: too many replicas},\n" +
		"    {name: named, mode: Warn, expression: object.metadata.name.contains('-good'), message: 'a name with -good, please'}]}}\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	labels := filepath.Join(t.TempDir(), "namespaces.yaml")
	if err := os.WriteFile(labels, fmt.Appendf(nil, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {pod-security.kubernetes.io/warn: baseline}}\n", namespace), 0o600); err != nil {
		t.Fatal(err)
	}
	got := portcullis(t, c, "", "audit", "--kubeconfig", c.Kubeconfig, "--namespace", namespace, "--policy", policy, "-o", "json")
	checked := portcullis(t, c, roots(t, c, namespace), "check", "--namespace-labels", labels, "--policy", policy, "-o", "json", "-")
	for _, name := range []string{"few", "named"} {
		if !slices.ContainsFunc(read(t, got).findings(), func(f finding) bool { return f.Check == name && f.Result == "warn" }) {
			t.Errorf("got no finding of expression %s, which reads the object: the test proves nothing", name)
		}
	}
	if got.code != 1 || checked.code != 1 {
		t.Errorf("got exit codes %d and %d, want 1: the candidate would refuse something\n%s", got.code, checked.code, got.stderr)
	}
	a, want := read(t, got), read(t, checked)
	if diff := cmp.Diff(want.findings(), a.findings()); diff != "" || len(a.findings()) < 50 {
		t.Errorf("%d findings (-check +audit):\n%s", len(a.findings()), diff)
	}
	for _, count := range []string{"objects", "pass", "fail", "warn", "skip", "error", "unmatched"} {
		if a.Summary[count] != want.Summary[count] {
			t.Errorf("%s: got %d, want %d", count, a.Summary[count], want.Summary[count])
		}
	}
	if a.Pods != populated || len(a.Changes) == 0 || len(a.Unseen) != 0 {
		t.Errorf("got %d pods, %d changes, unseen %v, want %d, some and none", a.Pods, len(a.Changes), a.Unseen, populated)
	}
}

// TestAuditText is for a reader's eye: go test -v -run AuditText shows it.
func TestAuditText(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	for name, spec := range map[string]corev1.PodSpec{"good": suite.GoodSpec(), "repairable": repairableSpec(), "bad": badSpec()} {
		if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, name, spec)); err != nil {
			t.Fatal(err)
		}
	}
	waitForPods(t, c, namespace, 3)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	const text = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: candidate}\n" +
		"spec: {mutate: {hardening: {}}, validate: {podSecurity: {level: restricted}}}\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := portcullis(t, c, "", "audit", "--kubeconfig", c.Kubeconfig, "--namespace", namespace, "--policy", policy, "--pod-security-version", "latest")
	t.Logf("%s", got.stdout)
	want := strings.ReplaceAll(`
Namespaces
  NAMESPACE WORKLOADS PODS DENIED WARNED MUTATED NO POLICY
  @         3         3    1      0      1       0

Changes
  MUTATOR   POLICY    FIELDS WORKLOADS
  hardening candidate 1      1

Readiness for Pod Security levels
  NAMESPACE LEVEL             READY  REPAIRABLE BLOCKED BY
  @         baseline:latest   2 of 3 0          hostNamespaces 1, privileged 1
  @         restricted:latest 1 of 3 1          allowPrivilegeEscalation 1, capabilities_restricted 1, hostNamespaces 1, privileged 1, and 1 more

3 workloads with 3 pods in 1 namespace: 4 failures, 0 warnings, 5 passed, 0 skipped
1 workload of 3 would be refused
`, "@", namespace)
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if !strings.HasSuffix(words(got.stdout), words(want)) {
		t.Errorf("got %s\nwant an end like %s", got.stdout, want)
	}
}

func TestAuditReadiness(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	for name, spec := range map[string]corev1.PodSpec{"good": suite.GoodSpec(), "repairable": repairableSpec(), "bad": badSpec()} {
		if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, name, spec)); err != nil {
			t.Fatal(err)
		}
	}
	got := portcullis(t, c, "", "audit", "--kubeconfig", c.Kubeconfig, "--namespace", namespace, "--preset", "audit", "--pod-security-version", "latest,v1.20", "-o", "json")
	if got.code != 0 {
		t.Errorf("got exit code %d, %s, want 0: the preset enforces nothing", got.code, got.stderr)
	}
	var cells []string
	for _, r := range read(t, got).Readiness {
		cells = append(cells, fmt.Sprintf("%s:%s blocked %d of %d, %d repairable %v", r.Level, r.Version, r.Blocked, r.Workloads, r.Repairable, r.Blockers))
	}
	want := []string{
		"baseline:latest blocked 1 of 3, 0 repairable [{hostNamespaces} {privileged}]",
		"baseline:v1.20 blocked 1 of 3, 0 repairable [{hostNamespaces} {privileged}]",
		"restricted:latest blocked 2 of 3, 1 repairable [{allowPrivilegeEscalation} {capabilities_restricted} {hostNamespaces} {privileged} {seccompProfile_restricted}]",
		"restricted:v1.20 blocked 2 of 3, 1 repairable [{allowPrivilegeEscalation} {hostNamespaces} {privileged} {seccompProfile_restricted}]",
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// account makes a kubeconfig of a service account with rules of its own.
func account(t testing.TB, c *suite.Cluster, namespace string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	name := namespace + "-auditor"
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "default"}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	token, err := c.Clientset.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}
	config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	config.CurrentContext = "c"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAuditRights requires that rights to list are enough, so that nothing is
// written, and that what may not be listed is named.
func TestAuditRights(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	for _, kind := range []suite.Kind{suite.StatefulSet, suite.CronJob} {
		if err := c.Client.Create(t.Context(), kind.New(namespace, "bad", badSpec())); err != nil {
			t.Fatal(err)
		}
	}
	lists := func(group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"list"}}
	}
	core := lists("", "namespaces", "pods", "podtemplates", "replicationcontrollers")
	apps := lists("apps", "deployments", "statefulsets", "daemonsets", "replicasets")
	all := account(t, c, namespace, core, apps, lists("batch", "jobs", "cronjobs"))
	got := portcullis(t, c, "", "audit", "--kubeconfig", all, "--preset", "baseline", "-o", "json")
	if a := read(t, got); got.code != 1 || len(a.Unseen) != 0 || len(a.findings()) == 0 {
		t.Errorf("with rights to list: got exit code %d, unseen %v, %s, want 1 and none", got.code, a.Unseen, got.stderr)
	}
	other := c.Namespace(t, nil)
	some := account(t, c, other, core, apps)
	got = portcullis(t, c, "", "audit", "--kubeconfig", some, "--preset", "baseline", "-o", "json")
	a := read(t, got)
	kinds := map[string]bool{}
	for _, f := range a.findings() {
		kinds[f.Kind] = true
	}
	if got.code != 2 || len(a.Unseen) != 2 || !kinds["StatefulSet"] || kinds["CronJob"] {
		t.Errorf("without rights to list jobs: got exit code %d, unseen %v, findings in %v, want 2, jobs and cronjobs, and the rest", got.code, a.Unseen, kinds)
	}
	for _, want := range []string{"portcullis: not seen: cronjobs.batch: ", "portcullis: not seen: jobs.batch: "} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("got stderr %s, want a line with %q", got.stderr, want)
		}
	}
}

func TestAuditUnreachable(t *testing.T) {
	c := cluster.Cluster(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	const text = "kind: Config\napiVersion: v1\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := portcullis(t, c, "", "audit", "--kubeconfig", kubeconfig, "--preset", "baseline", "--pod-security-version", "latest")
	if got.code != 2 || got.stdout != "" || !strings.HasPrefix(got.stderr, "portcullis: scanning the cluster at https://127.0.0.1:1: listing namespaces: ") {
		t.Errorf("got %+v, want exit code 2 and what cannot be reached", got)
	}
}

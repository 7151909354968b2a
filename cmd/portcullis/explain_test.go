package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
)

var timing = regexp.MustCompile(`(?m)^  time: .*$`)

// TestExplain runs with registries that answer from memory.
func TestExplain(t *testing.T) {
	j := judgeBy(t, parityPolicies)
	j.images, j.namespaces = parityImages{}, map[string]map[string]string{"default": {"tier": "gold"}}
	var out, log bytes.Buffer
	e := &explainer{out: &out, judge: j}
	e.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{"testdata/check/app"}}), &log)
	golden(t, "check/explain.txt", timing.ReplaceAllString(out.String(), "  time"))
	if err := e.verdict(); err != errUnjudged {
		t.Errorf("got verdict %v, want %v", err, errUnjudged)
	}
	if want := "broken.yaml: document 1, line 8, column 7: spec.template.spec.containers: got a string, expected a list"; !strings.Contains(log.String(), want) {
		t.Errorf("got log %s, want one with %s", &log, want)
	}
}

func TestReplay(t *testing.T) {
	review := func(request string) string {
		path := filepath.Join(t.TempDir(), "review.json")
		text := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","namespace":"web","kind":{"version":"v1","kind":"Pod"},` + request + `}}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pods := `"resource":{"version":"v1","resource":"pods"},`
	changed := strings.Replace(badPod, "app:1", "app:2", 1)
	for _, test := range []struct {
		name, request  string
		code           int
		stdout, stderr string
	}{
		{"creation", pods + `"operation":"CREATE","object":` + badPod, 1, "FAIL  podSecurity/hostNamespaces (restricted, Enforce)", ""},
		{
			"update", pods + `"operation":"UPDATE","object":` + changed + `,"oldObject":` + badPod, 0,
			"WARN  podSecurity/hostNamespaces (restricted, Warn): spec.hostNetwork is true: tolerated in this update because it was so before: ", "",
		},
		{"update of nothing", pods + `"operation":"UPDATE","object":` + badPod + `,"oldObject":` + badPod, 0, "what its pods run stays as it was", ""},
		{"no operation", pods + `"subResource":""`, 2, "", "the request has no operation"},
		{"subresource", pods + `"subResource":"status","operation":"UPDATE"`, 2, "", `the request is to UPDATE pods, subresource "status", which is never judged`},
		{"no workload", `"resource":{"version":"v1","resource":"services"},"operation":"CREATE","object":{}`, 2, "", `the request is to CREATE services, subresource "", which is never judged`},
		{"no object", pods + `"operation":"CREATE"`, 2, "", "the review has no object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t, "", "explain", "--preset", "restricted", "--admission-review", review(test.request))
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("got %d\n%s\n%s\nwant %d, a stdout with %q, a stderr with %q", got.code, got.stdout, got.stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

func TestMismatch(t *testing.T) {
	p := &policies.PodPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: policies.PodPolicySpec{
		Match: policies.MatchSpec{
			Namespaces: []string{"web", "team-*"}, ExcludeNamespaces: []string{"kube-*"},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
			Kinds:             []policies.WorkloadKind{"Job"},
		},
		Validate: policies.ValidateSpec{RootUser: &policies.RootUser{}},
	}}
	got, err := mismatch(p, policies.Target{Namespace: "kube-system", Kind: "Pod"})
	want := `namespace "kube-system" is none of namespaces [web, team-*]; namespace "kube-system" is one of excludeNamespaces [kube-*]; ` +
		`namespaceSelector does not select the labels of namespace "kube-system"; objectSelector does not select the labels of the object; Pod is none of kinds [Job]`
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	target := policies.Target{Namespace: "team-a", NamespaceLabels: map[string]string{"tier": "gold"}, Kind: "Job", Labels: map[string]string{"app": "x"}}
	if got, err := mismatch(p, target); err != nil || got != "" {
		t.Errorf("got %q, %v, want none", got, err)
	}
}

func TestDryRun(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Warning", `299 - "restricted: a warning"`)
		if strings.Contains(string(body), "hostNetwork") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","code":403,"reason":"Forbidden","message":"refused:\n- for its network"}`)
			return
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	r, err := dryRunWith(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	preset, err := policies.Preset("restricted")
	if err != nil {
		t.Fatal(err)
	}
	list := []*policies.PodPolicy{preset}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	for object, want := range map[string]string{
		goodPod: "  cluster\n    warns: restricted: a warning\n    would store it\n",
		badPod:  "  cluster\n    warns: restricted: a warning\n    refuses it: refused:\n    - for its network\n",
	} {
		asked = nil
		var out bytes.Buffer
		e := &explainer{out: &out, judge: &judge{engine: core, policies: set, list: list}, server: r}
		e.all(t.Context(), input.Open(t.Context(), input.Options{Paths: []string{"-"}, Stdin: strings.NewReader(object)}), io.Discard)
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want a text with %s", &out, want)
		}
		request := "PATCH /api/v1/namespaces/default/pods/x?dryRun=All&fieldManager=portcullis-explain&force=true application/apply-patch+yaml " + object
		if diff := cmp.Diff([]string{request}, asked); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
}

// TestExplainEdits requires evidence as it was written, and one meaning for each word.
func TestExplainEdits(t *testing.T) {
	const object = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","annotations":{"portcullis.dev/liveness-probe":"http:8080/live"}},
		"spec":{"containers":[{"name":"app","image":"app:1","ports":[{"containerPort":8080}]}]}}`
	for mode, want := range map[string]string{
		"Enforce": `livenessProbe: not set -> {"httpGet":{"path":"/live","port":8080,"scheme":"HTTP"},"timeoutSeconds":5,"periodSeconds":10,"failureThreshold":6}, set by probes (p), from the annotation "portcullis.dev/liveness-probe"` + "\n",
		"Audit":   `livenessProbe: not set -> {"httpGet":{"path":"/live","port":8080,"scheme":"HTTP"},"timeoutSeconds":5,"periodSeconds":10,"failureThreshold":6}, would be set, mode Audit of probes (p), from the annotation "portcullis.dev/liveness-probe"` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "p.yaml")
		if err := os.WriteFile(path, []byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {probes: {mode: "+mode+"}}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := execute(t, object, "explain", "--policy", path, "-"); !strings.Contains(got.stdout, want) {
			t.Errorf("mode %s: got %s, want one with %s", mode, got.stdout, want)
		}
	}
}

// TestExplainServerPolicies requires that without a policy of the user's the verdict
// is by the policies of the cluster that is asked.
func TestExplainServerPolicies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		resources := func(group, version, resource, kind string) string {
			return `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"` + group + version + `","resources":[{"name":"` + resource + `","kind":"` + kind + `","namespaced":true,"verbs":["list"]}]}`
		}
		switch r.URL.Path {
		case "/api":
			_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":[]}`)
		case "/apis":
			_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"portcullis.dev","versions":[{"groupVersion":"portcullis.dev/v1alpha1","version":"v1alpha1"}]}]}`)
		case "/apis/portcullis.dev/v1alpha1":
			_, _ = io.WriteString(w, strings.Replace(resources("portcullis.dev/", "v1alpha1", "policyexceptions", "PolicyException"),
				`"resources":[`, `"resources":[{"name":"podpolicies","kind":"PodPolicy","namespaced":false,"verbs":["list"]},`, 1))
		case "/apis/portcullis.dev/v1alpha1/podpolicies":
			_, _ = io.WriteString(w, `{"apiVersion":"portcullis.dev/v1alpha1","kind":"PodPolicyList","metadata":{},"items":[{"apiVersion":"portcullis.dev/v1alpha1","kind":"PodPolicy","metadata":{"name":"theirs"},"spec":{"validate":{"podSecurity":{"level":"privileged"}}}}]}`)
		case "/apis/portcullis.dev/v1alpha1/namespaces/portcullis-system/policyexceptions", "/apis/portcullis.dev/v1alpha1/policyexceptions":
			_, _ = io.WriteString(w, `{"apiVersion":"portcullis.dev/v1alpha1","kind":"PolicyExceptionList","metadata":{},"items":[]}`)
		default:
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		}
	}))
	defer server.Close()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: " + server.URL + "}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {}}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := execute(t, badPod, "explain", "--server", "--kubeconfig", config, "-")
	if got.code != 0 || !strings.Contains(got.stdout, "theirs matches, mode Enforce") || strings.Contains(got.stdout, "restricted") {
		t.Errorf("got %d, %s%s, want 0, by the policy of the cluster", got.code, got.stdout, got.stderr)
	}
	if got := execute(t, badPod, "explain", "--server", "--kubeconfig", config, "--preset", "baseline", "-"); got.code != 1 || strings.Contains(got.stdout, "theirs") {
		t.Errorf("with a preset: got %d, %s%s, want 1, by the preset", got.code, got.stdout, got.stderr)
	}
}

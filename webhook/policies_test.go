package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// policyList is a cache that holds PodPolicies and PolicyExceptions.
type policyList struct {
	cache.Cache
	items      []policies.PodPolicy
	exceptions []policies.PolicyException
}

func (p *policyList) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if exceptions, ok := list.(*policies.PolicyExceptionList); ok {
		for _, item := range p.exceptions {
			exceptions.Items = append(exceptions.Items, *item.DeepCopy())
		}
		return nil
	}
	for _, item := range p.items {
		list.(*policies.PodPolicyList).Items = append(list.(*policies.PodPolicyList).Items, *item.DeepCopy())
	}
	return nil
}

func podPolicy(t *testing.T, name, validate string) policies.PodPolicy {
	t.Helper()
	p := policies.PodPolicy{}
	p.Name = name
	if err := json.Unmarshal([]byte(validate), &p.Spec.Validate); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPoliciesInForce goes through the life of a policy: while there is none the
// fallback is in force, and a version that is invalid leaves the last valid one.
func TestPoliciesInForce(t *testing.T) {
	fallback, err := policies.Preset("audit")
	if err != nil {
		t.Fatal(err)
	}
	reader := &policyList{}
	c := &clusterPolicies{
		reader: reader, fallback: []*policies.PodPolicy{fallback}, metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler),
	}
	valid := podPolicy(t, "production", `{"podSecurity":{"level":"baseline"}}`)
	invalid := podPolicy(t, "production", `{"registries":{"allow":["nginx:1"]}}`)
	other := podPolicy(t, "other", `{"podSecurity":{"level":"restricted"}}`)
	for _, step := range []struct {
		name    string
		items   []policies.PodPolicy
		want    string
		invalid float64
	}{
		{name: "none", want: "audit"},
		{name: "an invalid one alone", items: []policies.PodPolicy{invalid}, want: "audit", invalid: 1},
		{name: "a valid one", items: []policies.PodPolicy{valid}, want: "production"},
		{name: "its next version is invalid", items: []policies.PodPolicy{invalid, other}, want: "other,production", invalid: 1},
		{name: "it is deleted", items: []policies.PodPolicy{other}, want: "other"},
		{name: "all are", want: "audit"},
	} {
		reader.items = step.items
		if err := c.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range c.set().Matching(nil, policies.Target{Namespace: "web", Kind: "Pod"}) {
			names = append(names, m.Policy.Name)
		}
		if got := strings.Join(names, ","); got != step.want {
			t.Errorf("%s: got %s in force, want %s", step.name, got, step.want)
		}
		if got := testutil.ToFloat64(c.metrics.invalid); got != step.invalid {
			t.Errorf("%s: got %v invalid policies, want %v", step.name, got, step.invalid)
		}
	}
}

func TestPolicyAdmission(t *testing.T) {
	review := func(operation admissionv1.Operation, spec, old string) *request {
		object := `{"apiVersion":"portcullis.dev/v1alpha1","kind":"PodPolicy","metadata":{"name":"p"},"spec":%s}`
		return &request{
			Resource: metav1.GroupVersionResource{Group: "portcullis.dev", Version: "v1alpha1", Resource: "podpolicies"},
			Name:     "p", Operation: operation, Object: fmt.Appendf(nil, object, spec), OldObject: fmt.Appendf(nil, object, old),
		}
	}
	const good, bad = `{"validate":{"podSecurity":{"level":"baseline"}}}`, `{"match":{"namespaces":["team-a"],"excludeNamespaces":["team-*"]},"validate":{"registries":{"allow":["nginx:1"]}}}`
	for _, test := range []struct {
		name    string
		req     *request
		refusal []string // parts of it
	}{
		{name: "a valid one", req: review(admissionv1.Create, good, "")},
		{name: "all that is wrong at once", req: review(admissionv1.Create, bad, ""), refusal: []string{
			`PodPolicy "p" is refused:`, `spec.match.namespaces[0]: "team-a" is left out again by "team-*"`, "spec.validate.registries.allow[0]: ",
		}},
		{name: "an update to it", req: review(admissionv1.Update, bad, good), refusal: []string{"spec.validate.registries.allow[0]"}},
		{name: "an update that leaves it", req: review(admissionv1.Update, bad, bad)},
		{name: "deleting it", req: review(admissionv1.Delete, bad, bad)},
		{name: "what cannot be read", req: review(admissionv1.Create, `{"mode":1}`, ""), refusal: []string{"mode"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !isPolicy(test.req) {
				t.Fatal("got no policy, want one")
			}
			got := admitPolicy(test.req)
			if got.Allowed != (test.refusal == nil) {
				t.Fatalf("got allowed %v (%+v)", got.Allowed, got.Result)
			}
			for _, part := range test.refusal {
				if !strings.Contains(got.Result.Message, part) {
					t.Errorf("got message %q, want one with %q", got.Result.Message, part)
				}
			}
		})
	}
}

// TestT36Credentials requires that pull secrets are those of the namespace that
// the request is for, whatever the object says.
func TestT36Credentials(t *testing.T) {
	w := newTestWebhook(t)
	var got image.Credentials
	w.admission.images = gathererFunc(func(who image.Credentials) { got = who })
	post(t, w.mutate, podReview(safeSpec, func(r *admissionv1.AdmissionRequest) {
		r.Object.Raw = []byte(`{"metadata":{"namespace":"kube-system"},"spec":{"serviceAccountName":"builder","imagePullSecrets":[{"name":"s"}],"containers":[{"name":"app","image":"app:1"}]}}`)
	}))
	if got.Namespace != "web" || got.ServiceAccount != "builder" || strings.Join(got.PullSecrets, ",") != "s" {
		t.Errorf("got credentials %+v, want secret s and service account builder of namespace web", got)
	}
}

type gathererFunc func(image.Credentials)

func (f gathererFunc) Gather(_ context.Context, _ []image.Need, who image.Credentials) image.Facts {
	f(who)
	return image.Facts{}
}

// namespaceReader has some namespaces, and fails otherwise.
type namespaceReader struct {
	client.Reader
	names []string
	err   error
}

func (r namespaceReader) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	for _, name := range r.names {
		if name == key.Name {
			object.(*corev1.Namespace).Name = name
			return nil
		}
	}
	return r.err
}

// TestF10NewNamespace requires a live look at what the cache does not have yet.
func TestF10NewNamespace(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "x")
	n := namespaces{cached: namespaceReader{names: []string{"old"}, err: missing}, live: namespaceReader{names: []string{"new"}, err: missing}}
	for _, test := range []struct {
		name  string
		found bool
	}{{"old", true}, {"new", true}, {"none", false}} {
		got, err := n.GetNamespace(t.Context(), test.name)
		if (err == nil) != test.found || err == nil && got.Name != test.name {
			t.Errorf("%s: got %v, %v, want found %v", test.name, got, err, test.found)
		}
	}
}

func TestPoliciesNotLoaded(t *testing.T) {
	w := newTestWebhook(t)
	w.admission.policies = func() *policies.Set { return nil }
	if got := post(t, w.validate, podReview(safeSpec, nil)); got.Allowed || !strings.Contains(got.Result.Message, "has not loaded its policies yet") {
		t.Errorf("got %+v, want a refusal that says so", got)
	}
}

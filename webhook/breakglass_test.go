package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/policies"
)

// glassStore keeps policies with their status, as an API server does.
type glassStore struct {
	client.Reader
	client.SubResourceWriter
	status map[string][]policies.BrokenGlass
	writes int
	// fail is the error of the next writes.
	fail []error
	// meanwhile happens before a write that fails.
	meanwhile func()
}

func (s *glassStore) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	p := object.(*policies.PodPolicy)
	p.Name = key.Name
	p.Status.BreakGlass = s.status[key.Name]
	return nil
}

func (s *glassStore) Update(_ context.Context, object client.Object, _ ...client.SubResourceUpdateOption) error {
	s.writes++
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		if s.meanwhile != nil {
			s.meanwhile()
		}
		return err
	}
	s.status[object.GetName()] = object.(*policies.PodPolicy).Status.BreakGlass
	return nil
}

var glassStart = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// newGlassWebhook is a webhook by a policy that the group oncall may pass.
func newGlassWebhook(t *testing.T) (*testWebhook, *glassStore, *events.FakeRecorder) {
	t.Helper()
	w := newTestWebhook(t)
	list, err := policies.Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: base}\nspec: {validate: {podSecurity: {level: baseline}}, breakGlass: {groups: [oncall], maxDuration: 1h}}"), "p")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	w.admission.policies = func() *policies.Set { return set }
	store, recorder := &glassStore{status: map[string][]policies.BrokenGlass{}}, events.NewFakeRecorder(100)
	w.admission.glass = &glassBreaker{
		reader: store, writer: store, recorder: recorder, log: w.admission.log, now: func() time.Time { return glassStart },
		firsts: newFirsts(), uses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uses"}, []string{"policy", "use"}),
	}
	return w, store, recorder
}

// privileged is a review of a Pod that is refused, and asks for passing.
func privileged(reason, user string, groups ...string) *request {
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"shop","namespace":"web","annotations":{"portcullis.dev/break-glass":%q}},"spec":{"hostNetwork":true,"containers":[{"name":"a","image":"x"}]}}`
	req := &request{UID: "u", Namespace: "web", Name: "shop", Operation: admissionv1.Create, UserInfo: authenticationv1.UserInfo{Username: user, Groups: groups}}
	req.Kind.Version, req.Kind.Kind, req.Resource.Version, req.Resource.Resource = "v1", "Pod", "v1", "pods"
	req.Object = fmt.Appendf(nil, pod, reason)
	return req
}

const aReason = "INC-4711: the shop is down"

// TestBreakGlassRecordsFirst holds that nothing passes that is not written down.
func TestBreakGlassRecordsFirst(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "podpolicies"}, "base", errors.New("modified"))
	full := func(s *glassStore) {
		settings := &policies.CompiledBreakGlass{MaxDuration: time.Hour}
		for i := range policies.MaxBrokenGlass {
			s.status["base"] = append(s.status["base"], settings.NewBrokenGlass("web", "ann", fmt.Sprintf("another reason %d", i), glassStart))
		}
	}
	for _, test := range []struct {
		name    string
		set     func(*glassStore)
		allowed bool
		writes  int
		says    string
	}{
		{name: "written", allowed: true, writes: 1, says: `policy base is passed: broken glass by "ann" until 2026-11-21T13:00:00Z, "INC-4711: the shop is down"`},
		{name: "a conflict is tried again", set: func(s *glassStore) { s.fail = []error{conflict, conflict} }, allowed: true, writes: 3, says: "is passed"},
		{name: "another replica was faster", set: func(s *glassStore) {
			s.fail = []error{conflict}
			s.meanwhile = func() {
				s.status["base"] = []policies.BrokenGlass{(&policies.CompiledBreakGlass{MaxDuration: time.Hour}).NewBrokenGlass("web", "joe", aReason, glassStart.Add(-time.Minute))}
			}
		}, allowed: true, writes: 1, says: `broken glass by "joe" until 2026-11-21T12:59:00Z`},
		{name: "not written", set: func(s *glassStore) { s.fail = []error{errors.New("etcd is full")} }, writes: 1, says: "the glass of policy base is not broken, because that cannot be recorded: writing the status of policy \"base\": etcd is full"},
		{name: "the list is full", set: full, allowed: true, writes: 1, says: "is passed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, store, recorder := newGlassWebhook(t)
			if test.set != nil {
				test.set(store)
			}
			response := w.admission.validate(t.Context(), privileged(aReason, "ann", "oncall"))
			text := strings.Join(response.Warnings, "\n")
			if response.Allowed != test.allowed || store.writes != test.writes || !strings.Contains(text, test.says) {
				t.Errorf("got allowed %v, %d writes, %q, want %v, %d, %q", response.Allowed, store.writes, text, test.allowed, test.writes, test.says)
			}
			if got := len(recorder.Events) == 1; got != test.allowed {
				t.Errorf("got an Event: %v, want %v", got, test.allowed)
			}
			if got := strings.Contains(response.AuditAnnotations["break-glass"], "hostNetwork"); got != test.allowed {
				t.Errorf("got the audit annotations %q, want what was passed: %v", response.AuditAnnotations, test.allowed)
			}
		})
	}
}

// TestBreakGlassWritesOnce holds that only the last word on a request that is meant
// is written down.
func TestBreakGlassWritesOnce(t *testing.T) {
	w, store, recorder := newGlassWebhook(t)
	yes := true
	rehearsal := privileged(aReason, "ann", "oncall")
	rehearsal.DryRun = &yes
	for name, response := range map[string]*admissionv1.AdmissionResponse{
		"a dry run": w.admission.validate(t.Context(), rehearsal),
		"mutation":  w.admission.mutate(t.Context(), privileged(aReason, "ann", "oncall")),
	} {
		if !response.Allowed || store.writes > 0 || len(recorder.Events) > 0 {
			t.Errorf("%s: got allowed %v, %d writes, %d Events, want it allowed and none", name, response.Allowed, store.writes, len(recorder.Events))
		}
	}
	for range 3 {
		if response := w.admission.validate(t.Context(), privileged(aReason, "ann", "oncall")); !response.Allowed {
			t.Fatal(response.Result.Message)
		}
	}
	if store.writes != 1 || len(recorder.Events) != 3 {
		t.Errorf("after three uses: got %d writes and %d Events, want 1 and 3", store.writes, len(recorder.Events))
	}
}

// regardings are the objects that Events are about.
type regardings []corev1.ObjectReference

func (r *regardings) Eventf(regarding, _ runtime.Object, _, _, _, _ string, _ ...any) {
	*r = append(*r, *regarding.(*corev1.ObjectReference))
}

// TestBreakGlassEventsStandAlone holds that kubectl describe finds each use: client-go
// takes Events about the same reference for one, and keeps the words of the first.
func TestBreakGlassEventsStandAlone(t *testing.T) {
	w, _, _ := newGlassWebhook(t)
	var about regardings
	w.admission.glass.recorder = &about
	const stored = `{"metadata":{"name":"shop","namespace":"web","uid":"1-2","resourceVersion":%q},"spec":{"containers":[{"name":"a","image":"x"}]}}`
	for _, version := range []string{"", "7", "8"} {
		req := privileged(aReason, "ann", "oncall")
		req.Object = bytes.Replace(req.Object, []byte(`"metadata":{`), []byte(`"metadata":{"uid":"1-2",`), 1)
		if version != "" {
			req.Operation, req.OldObject = admissionv1.Update, fmt.Appendf(nil, stored, version)
		}
		if response := w.admission.validate(t.Context(), req); !response.Allowed {
			t.Fatal(response.Result.Message)
		}
	}
	var want regardings
	for _, version := range []string{"", "7", "8"} {
		want = append(want, corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "web", Name: "shop", UID: "1-2", ResourceVersion: version})
	}
	if diff := cmp.Diff(want, about); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
}

// TestBreakGlassOfFiles holds that policies that nobody keeps a record of are not
// passed.
func TestBreakGlassOfFiles(t *testing.T) {
	w, _, _ := newGlassWebhook(t)
	w.admission.glass = nil
	response := w.admission.validate(t.Context(), privileged(aReason, "ann", "oncall"))
	if response.Allowed || !strings.Contains(response.Result.Message, "policies that are read from files keep no record of it") {
		t.Errorf("got %+v, want a refusal", response)
	}
}

// TestBreakGlassNotNeeded tells who asks for nothing.
func TestBreakGlassNotNeeded(t *testing.T) {
	w, store, _ := newGlassWebhook(t)
	req := privileged(aReason, "ann", "oncall")
	req.Object = []byte(strings.Replace(string(req.Object), "true", "false", 1))
	response := w.admission.validate(t.Context(), req)
	if !response.Allowed || store.writes > 0 || !strings.Contains(strings.Join(response.Warnings, "\n"), "does nothing: nothing is refused without it") {
		t.Errorf("got %+v and %d writes, want it allowed with a warning", response, store.writes)
	}
}

// TestBreakGlassOfWhatWasThere holds that a template that was there before the policy
// is no way past it for tenants, and that a member's reason in it helps its Pods.
func TestBreakGlassOfWhatWasThere(t *testing.T) {
	const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"old","namespace":"web"},"spec":{"selector":{"matchLabels":{"a":"b"}},` +
		`"template":{"metadata":{"labels":{"a":"b"},"annotations":{%s}},"spec":{"hostNetwork":true,"containers":[{"name":"a","image":"x"}]}}}}`
	for _, test := range []struct {
		user, group     string
		open            bool
		allowed, passes bool
	}{
		{user: "tenant", group: "developers", open: true, passes: true}, // which the Pods of others do
		{user: "tenant", group: "developers"},
		{user: "ann", group: "oncall", allowed: true, passes: true},
	} {
		w, _, _ := newGlassWebhook(t)
		if test.open {
			w.admission.validate(t.Context(), privileged(aReason, "ann", "oncall"))
		}
		req := &request{UID: "u", Namespace: "web", Name: "old", Operation: admissionv1.Update, UserInfo: authenticationv1.UserInfo{Username: test.user, Groups: []string{test.group}}}
		req.Kind.Group, req.Kind.Version, req.Kind.Kind = "apps", "v1", "Deployment"
		req.Resource.Group, req.Resource.Version, req.Resource.Resource = "apps", "v1", "deployments"
		req.OldObject, req.Object = fmt.Appendf(nil, deployment, ""), fmt.Appendf(nil, deployment, fmt.Sprintf(`"portcullis.dev/break-glass":%q`, aReason))
		if response := w.admission.validate(t.Context(), req); response.Allowed != test.allowed {
			t.Errorf("%s puts a reason into an old template, open before %v: got allowed %v, %q, want %v", test.user, test.open, response.Allowed, response.Warnings, test.allowed)
		}
		if response := w.admission.validate(t.Context(), privileged(aReason, podControllers[0])); response.Allowed != test.passes {
			t.Errorf("a Pod after %s: got allowed %v, %q, want %v", test.user, response.Allowed, response.Warnings, test.passes)
		}
	}
}

// TestT64ForgedReviews sends what somebody can who reaches the port: claims to be a
// member, for many reasons. Little is written and told, and the real member passes.
func TestT64ForgedReviews(t *testing.T) {
	w, store, recorder := newGlassWebhook(t)
	now := glassStart
	w.admission.glass.now = func() time.Time { return now }
	allowed := 0
	for i := range 1000 {
		if w.admission.validate(t.Context(), privileged(fmt.Sprintf("a forged reason %d", i), "mallory", "oncall")).Allowed {
			allowed++
		}
	}
	if allowed != 20 || store.writes != 20 || len(recorder.Events) != 20 {
		t.Errorf("got %d passed, %d writes, %d Events, want 20 of each", allowed, store.writes, len(recorder.Events))
	}
	now = now.Add(2 * time.Second)
	if response := w.admission.validate(t.Context(), privileged(aReason, "ann", "oncall")); !response.Allowed {
		t.Errorf("got the member refused: %v", response.Warnings)
	}
}

// TestBreakGlassIsSent holds that the sink is told of what people do, and not of what
// controllers make of it.
func TestBreakGlassIsSent(t *testing.T) {
	w, _, _ := newGlassWebhook(t)
	sink, read := alertSink(t)
	w.admission.glass.sink = sink
	for _, user := range []string{"ann", podControllers[0]} {
		if response := w.admission.validate(t.Context(), privileged(aReason, user, "oncall")); !response.Allowed {
			t.Fatalf("%s: got a refusal: %v", user, response.Warnings)
		}
	}
	got := read()
	if len(got) != 1 || got[0].Type != cloudevents.BreakGlassUsed || got[0].Subject != "namespaces/web/Pod/shop" || got[0].Data["user"] != "ann" {
		t.Errorf("got %+v, want one event about the Pod, of ann", got)
	}
}

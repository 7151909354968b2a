package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

// exceptionsStart is the time at which the clock of these tests starts.
var exceptionsStart = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// exceptionFor exempts the pods of namespace web from a policy's podSecurity.
func exceptionFor(t *testing.T, name, policy string, lasts time.Duration) policies.PolicyException {
	t.Helper()
	e := policies.PolicyException{TypeMeta: metav1.TypeMeta{APIVersion: "portcullis.dev/v1alpha1", Kind: "PolicyException"}, ObjectMeta: metav1.ObjectMeta{Namespace: "portcullis-system", Name: name, CreationTimestamp: metav1.NewTime(exceptionsStart)}}
	spec := `{"owner":"team-a","reason":"because","policies":[%q],"expiresAt":%q,"rules":[{"rule":"validate.podSecurity"}],"match":{"namespaces":["web"]}}`
	if err := json.Unmarshal(fmt.Appendf(nil, spec, policy, exceptionsStart.Add(lasts).Format(time.RFC3339)), &e.Spec); err != nil {
		t.Fatal(err)
	}
	return e
}

// withExceptions puts exceptions and a clock into a webhook.
func (w *testWebhook) withExceptions(t *testing.T, list ...policies.PolicyException) (now *time.Time) {
	t.Helper()
	var pointers []*policies.PolicyException
	for i := range list {
		pointers = append(pointers, &list[i])
	}
	set, err := w.admission.policies().WithExceptions(pointers)
	if err != nil {
		t.Fatal(err)
	}
	now = new(time.Time)
	*now = exceptionsStart
	w.admission.policies = func() *policies.Set { return set }
	w.admission.now = func() time.Time { return *now }
	w.admission.warning = 7 * 24 * time.Hour
	return now
}

// TestExceptionToTheSecond lets time pass over one exception: silent at first, with
// a warning in its last week, and then no more.
func TestExceptionToTheSecond(t *testing.T) {
	w := newTestWebhook(t)
	now := w.withExceptions(t, exceptionFor(t, "e", "restricted", 10*24*time.Hour))
	for _, step := range []struct {
		after    time.Duration
		allowed  bool
		warnings []string
	}{
		{0, true, nil},
		{3 * 24 * time.Hour, true, nil},
		{3*24*time.Hour + time.Second, true, []string{`exception portcullis-system/e, which exempts this from a policy, ends in 6 days (2026-12-01T12:00:00Z); its owner is "team-a"`}},
		{10*24*time.Hour - time.Second, true, []string{`exception portcullis-system/e, which exempts this from a policy, ends in 1 second (2026-12-01T12:00:00Z); its owner is "team-a"`}},
		{10 * 24 * time.Hour, false, nil},
	} {
		*now = exceptionsStart.Add(step.after)
		got := post(t, w.validate, podReview(privilegedSpec, nil))
		if got.Allowed != step.allowed {
			t.Errorf("after %s: got allowed %v, want %v", step.after, got.Allowed, step.allowed)
		}
		if diff := cmp.Diff(step.warnings, got.Warnings); diff != "" {
			t.Errorf("after %s: warnings (-want +got):\n%s", step.after, diff)
		}
	}
}

func TestExceptionIsRecorded(t *testing.T) {
	w := newTestWebhook(t)
	w.withExceptions(t, exceptionFor(t, "e", "restricted", time.Hour))
	got := post(t, w.validate, podReview(privilegedSpec, nil)).AuditAnnotations
	const exemption = `exempt (would fail) by portcullis-system/e of "team-a" until 2026-11-21T13:00:00Z: restricted: podSecurity/`
	if lines := strings.Split(got["exempt"], "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], exemption) || !strings.HasPrefix(lines[1], exemption) {
		t.Errorf("got %q, want two lines that begin with %q", got["exempt"], exemption)
	}
	if got["findings"] != "" || got["exceptions-not-needed"] != "" {
		t.Errorf("got %v, want nothing beside exempt", got)
	}
	if count := testutil.ToFloat64(w.metrics.findings.WithLabelValues("podSecurity", "privileged", "Exempt")); count != 1 {
		t.Errorf("got %v findings counted as Exempt, want 1", count)
	}
	if got := post(t, w.validate, podReview(safeSpec, nil)).AuditAnnotations["exceptions-not-needed"]; got != "portcullis-system/e" {
		t.Errorf("got %q not needed, want portcullis-system/e", got)
	}
}

// TestExceptionsInForce goes through the life of an exception. One that is invalid
// exempts from nothing, whatever its last version was.
func TestExceptionsInForce(t *testing.T) {
	reader := &policyList{items: []policies.PodPolicy{podPolicy(t, "production", `{"podSecurity":{"level":"baseline"}}`)}}
	registry := prometheus.NewRegistry()
	c := &clusterPolicies{reader: reader, metrics: newMetrics(registry), log: slog.New(slog.DiscardHandler)}
	now := exceptionsStart
	c.metrics.exceptions.now, c.metrics.exceptions.warning = func() time.Time { return now }, 30*time.Minute
	valid := exceptionFor(t, "e", "production", time.Hour)
	invalid := *valid.DeepCopy()
	invalid.Spec.Owner = ""
	orphaned := exceptionFor(t, "o", "gone", time.Hour)
	capped := *valid.DeepCopy()
	capped.Spec.ExpiresAt = metav1.NewTime(exceptionsStart.Add(1000 * time.Hour))
	for _, step := range []struct {
		name   string
		items  []policies.PolicyException
		after  time.Duration
		counts int
		states string
	}{
		{name: "none", states: "active 0, ending 0, expired 0, orphaned 0, invalid 0"},
		{name: "a valid one", items: []policies.PolicyException{valid}, counts: 1, states: "active 1, ending 0, expired 0, orphaned 0, invalid 0"},
		{name: "it ends soon", items: []policies.PolicyException{valid}, after: 31 * time.Minute, counts: 1, states: "active 0, ending 1, expired 0, orphaned 0, invalid 0"},
		{name: "it has ended", items: []policies.PolicyException{valid}, after: time.Hour, counts: 1, states: "active 0, ending 0, expired 1, orphaned 0, invalid 0"},
		{name: "its next version is invalid", items: []policies.PolicyException{invalid}, states: "active 0, ending 0, expired 0, orphaned 0, invalid 1"},
		{name: "and valid again, beside one from no policy", items: []policies.PolicyException{valid, orphaned}, counts: 1, states: "active 1, ending 0, expired 0, orphaned 1, invalid 0"},
		{name: "the policy ends it, not the exception", items: []policies.PolicyException{capped}, after: 720 * time.Hour, counts: 1, states: "active 0, ending 0, expired 1, orphaned 0, invalid 0"},
		{name: "it is deleted", states: "active 0, ending 0, expired 0, orphaned 0, invalid 0"},
	} {
		reader.exceptions, now = step.items, exceptionsStart.Add(step.after)
		if err := c.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(c.set().Excepting(nil, "web", policies.ExceptionTarget{Kind: "Pod", Name: "x"})); got != step.counts {
			t.Errorf("%s: got %d exceptions in the set, want %d", step.name, got, step.counts)
		}
		var want strings.Builder
		want.WriteString("# HELP portcullis_exceptions PolicyExceptions in the namespaces where they count, by state: active, ending (within --exception-warning), expired, orphaned (names no policy in force that allows exceptions) or invalid. The last three exempt from nothing.\n# TYPE portcullis_exceptions gauge\n")
		for state := range strings.SplitSeq(step.states, ", ") {
			name, count, _ := strings.Cut(state, " ")
			fmt.Fprintf(&want, "portcullis_exceptions{state=%q} %s\n", name, count)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want.String()), "portcullis_exceptions"); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

func TestExceptionAdmission(t *testing.T) {
	policy := podPolicy(t, "production", `{"podSecurity":{"level":"baseline"}}`)
	set, err := policies.Compile([]*policies.PodPolicy{&policy})
	if err != nil {
		t.Fatal(err)
	}
	a := &exceptionAdmission{
		policies:   func(context.Context) ([]*policies.Compiled, error) { return set.Policies(), nil },
		namespaces: []string{"portcullis-system"}, now: func() time.Time { return exceptionsStart }, log: slog.New(slog.DiscardHandler),
	}
	review := func(operation admissionv1.Operation, e, old policies.PolicyException) *request {
		object, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		before, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		return &request{
			Resource:  metav1.GroupVersionResource{Group: "portcullis.dev", Version: "v1alpha1", Resource: "policyexceptions"},
			Namespace: e.Namespace, Name: e.Name, Operation: operation, Object: object, OldObject: before,
		}
	}
	good, ended := exceptionFor(t, "e", "production", time.Hour), exceptionFor(t, "e", "production", -time.Hour)
	bad := exceptionFor(t, "e", "prodction", time.Hour)
	bad.Spec.Owner = ""
	elsewhere, labelled := *good.DeepCopy(), *ended.DeepCopy()
	elsewhere.Namespace, labelled.Labels = "team-a", map[string]string{"a": "b"}
	for _, test := range []struct {
		name    string
		req     *request
		refusal string
	}{
		{name: "a good one", req: review(admissionv1.Create, good, good)},
		{name: "all that is wrong at once", req: review(admissionv1.Create, bad, good), refusal: "PolicyException \"e\" is refused:\n" +
			"- spec.owner: is missing; name the person or team that answers for the exception\n" +
			`- spec.policies[0]: "prodction" is not a policy in force; did you mean production?`},
		{name: "in another namespace", req: review(admissionv1.Create, elsewhere, good), refusal: "PolicyException \"e\" is refused:\n" +
			`- metadata.namespace: exceptions in "team-a" do not count; create it in portcullis-system, or have the admin add the namespace to --exception-namespaces`},
		{name: "expired on arrival", req: review(admissionv1.Create, ended, good), refusal: "PolicyException \"e\" is refused:\n" +
			"- spec.expiresAt: 2026-11-21T11:00:00Z has passed, so that it would cover nothing; write a later time, or delete the exception"},
		{name: "an update to one that has ended", req: review(admissionv1.Update, ended, good), refusal: "PolicyException \"e\" is refused:\n" +
			"- spec.expiresAt: 2026-11-21T11:00:00Z has passed, so that it would cover nothing; write a later time, or delete the exception"},
		{name: "a label on one that has ended", req: review(admissionv1.Update, labelled, ended)},
		{name: "deleting one", req: review(admissionv1.Delete, ended, ended)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !isException(test.req) {
				t.Fatal("got no exception, want one")
			}
			got, message := a.admit(t.Context(), test.req), ""
			if !got.Allowed {
				message = got.Result.Message
			}
			if diff := cmp.Diff(test.refusal, message); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
	a.policies = func(context.Context) ([]*policies.Compiled, error) { return nil, errors.New("away") }
	if got := a.admit(t.Context(), review(admissionv1.Create, good, good)); got.Allowed || got.Result.Code != 500 {
		t.Errorf("without policies: got %+v, want an error", got)
	}
}

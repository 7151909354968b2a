package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/portcullis-dev/portcullis/policies"
)

// recorder keeps Events as they would be shown.
type recorder struct{ events []string }

func (r *recorder) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	r.events = append(r.events, fmt.Sprintf("%s %s %s: %s", name, eventType, reason, fmt.Sprintf(note, args...)))
}

// exceptionWriter writes the status of the exceptions of a cluster, and counts the
// writes. The error is what each write ends in.
func exceptionWriter(t *testing.T, err error, inForce []policies.PodPolicy, list ...policies.PolicyException) (s *exceptionStatus, writes *atomic.Int32) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := policies.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	writes = new(atomic.Int32)
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&policies.PolicyException{})
	for i := range list {
		list[i].UID, list[i].Generation = types.UID(list[i].Name), 1
		builder.WithObjects(&list[i])
	}
	c := builder.WithInterceptorFuncs(interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, options ...client.SubResourceUpdateOption) error {
			writes.Add(1)
			if err != nil {
				return err
			}
			return c.SubResource(name).Update(ctx, o, options...)
		},
	}).Build()
	source := &clusterPolicies{
		reader: &policyList{items: inForce, exceptions: list}, metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler),
		seen: make(chan struct{}, 1), seenExceptions: make(chan struct{}, 1),
	}
	if err := source.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &exceptionStatus{source: source, client: c, events: &recorder{}, warning: 7 * 24 * time.Hour, now: time.Now, log: slog.New(slog.DiscardHandler)}, writes
}

func stateNow(t *testing.T, s *exceptionStatus, name string) (state, message, since string) {
	t.Helper()
	var e policies.PolicyException
	if err := s.client.Get(t.Context(), client.ObjectKey{Namespace: "portcullis-system", Name: name}, &e); err != nil {
		t.Fatal(err)
	}
	condition := meta.FindStatusCondition(e.Status.Conditions, policies.InForceCondition)
	if condition == nil {
		return "none", "", ""
	}
	return string(condition.Status) + " " + condition.Reason, condition.Message, condition.LastTransitionTime.UTC().Format(time.RFC3339)
}

// TestExceptionStatusInTime lets time alone pass over an exception for two policies,
// one of which ends it earlier: each end is told once, a week before and when it
// has come, and the status changes at that moment and not later.
func TestExceptionStatusInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() // 2000-01-01T00:00:00Z
		const day = 24 * time.Hour
		e := exceptionFor(t, "e", "long", 40*day)
		e.CreationTimestamp, e.Spec.ExpiresAt = metav1.NewTime(start), metav1.NewTime(start.Add(40*day))
		e.Spec.Policies = []string{"long", "short", "gone"}
		long := podPolicy(t, "long", `{"podSecurity":{"level":"baseline"}}`)
		long.Spec.Exceptions.MaxDuration = &metav1.Duration{Duration: 100 * day}
		short := podPolicy(t, "short", `{"podSecurity":{"level":"baseline"}}`)
		short.Spec.Exceptions.MaxDuration = &metav1.Duration{Duration: 10 * day}
		s, writes := exceptionWriter(t, nil, []policies.PodPolicy{long, short}, e)
		ctx, cancel := context.WithCancel(t.Context())
		go s.lead(ctx)
		const ends = `ends for policy "long" at 2000-02-10T00:00:00Z; ends for policy "short" at 2000-01-11T00:00:00Z; policy "gone" is not in force`
		const soon = `the exception ends soon, and its owner is "team-a": ` + ends
		for _, step := range []struct {
			after          time.Duration
			state, message string
			writes         int
		}{
			{time.Second, "True Active", "the exception is in force: " + ends, 1},
			{3 * day, "True Active", "the exception is in force: " + ends, 1},
			{3*day + time.Second, "True Ending", soon, 2},
			{10*day - time.Second, "True Ending", soon, 2},
			{10*day + time.Second, "True Active", "the exception is in force: " + ends, 3},
			{33*day + time.Second, "True Ending", soon, 4},
			{40*day - time.Second, "True Ending", soon, 4},
			{40*day + time.Second, "False Expired", `the exception has ended, and its owner is "team-a": ` + strings.ReplaceAll(ends, "ends for", "ended for"), 5},
			{400 * day, "False Expired", `the exception has ended, and its owner is "team-a": ` + strings.ReplaceAll(ends, "ends for", "ended for"), 5},
		} {
			time.Sleep(step.after - time.Since(start))
			synctest.Wait()
			state, message, since := stateNow(t, s, "e")
			if state != step.state || message != step.message || int(writes.Load()) != step.writes {
				t.Errorf("after %s: got %s, %q after %d writes, want %s, %q after %d", step.after, state, message, int(writes.Load()), step.state, step.message, step.writes)
			}
			if want := "2000-01-01T00:00:00Z"; state[:4] == "True" && since != want {
				t.Errorf("after %s: got in force since %s, want %s", step.after, since, want)
			}
		}
		cancel()
		synctest.Wait()
		want := []string{
			"e Warning ExceptionEnding: " + soon, "e Warning ExceptionEnding: " + soon,
			`e Warning ExceptionExpired: the exception has ended, and its owner is "team-a": ` + strings.ReplaceAll(ends, "ends for", "ended for"),
		}
		if diff := cmp.Diff(want, s.events.(*recorder).events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestExceptionIsToldOnce has another replica take over, and the exception change in
// something else than its end: what has been told is not told again.
func TestExceptionIsToldOnce(t *testing.T) {
	e := exceptionFor(t, "e", "p", 24*time.Hour)
	s, writes := exceptionWriter(t, nil, []policies.PodPolicy{podPolicy(t, "p", `{"podSecurity":{"level":"baseline"}}`)}, e)
	for range 2 {
		if _, err := s.writeAll(t.Context(), exceptionsStart); err != nil {
			t.Fatal(err)
		}
	}
	if events := s.events.(*recorder).events; len(events) != 1 || int(writes.Load()) != 1 {
		t.Errorf("got %d writes and events %q, want one of each", int(writes.Load()), events)
	}
	name := types.NamespacedName{Namespace: "portcullis-system", Name: "e"}
	changed := policies.PolicyException{}
	if err := s.client.Get(t.Context(), name, &changed); err != nil {
		t.Fatal(err)
	}
	changed.Generation = 2
	if err := s.client.Update(t.Context(), &changed); err != nil {
		t.Fatal(err)
	}
	version := s.source.current.Load().exceptions[name]
	version.generation = 2
	if err := s.write(t.Context(), name, version, exceptionsStart); err != nil {
		t.Fatal(err)
	}
	if events := s.events.(*recorder).events; len(events) != 1 || int(writes.Load()) != 2 {
		t.Errorf("got %d writes and events %q, want two writes and one event", int(writes.Load()), events)
	}
}

func TestExceptionStates(t *testing.T) {
	strict := podPolicy(t, "strict", `{"podSecurity":{"level":"baseline"}}`)
	strict.Spec.Exceptions.Allowed = new(bool)
	open := podPolicy(t, "open", `{"podSecurity":{"level":"baseline"}}`)
	invalid := exceptionFor(t, "invalid", "open", 30*24*time.Hour)
	invalid.Spec.Owner = ""
	both := exceptionFor(t, "both", "strict", 30*24*time.Hour)
	both.Spec.Policies = []string{"strict", "open"}
	s, _ := exceptionWriter(
		t, nil, []policies.PodPolicy{strict, open}, invalid, both,
		exceptionFor(t, "refused", "strict", time.Hour), exceptionFor(t, "orphaned", "gone", time.Hour),
	)
	if _, err := s.writeAll(t.Context(), exceptionsStart); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"invalid":  {"False Invalid", "the exception is invalid, and exempts from nothing:\nspec.owner: is missing; name the person or team that answers for the exception"},
		"refused":  {"False NotAllowed", `the exception exempts from nothing: policy "strict" allows no exceptions`},
		"orphaned": {"False Orphaned", `the exception exempts from nothing: policy "gone" is not in force`},
		"both":     {"True Active", `the exception is in force: policy "strict" allows no exceptions; ends for policy "open" at 2026-12-21T12:00:00Z`},
	} {
		state, message, _ := stateNow(t, s, name)
		if state != want[0] || message != want[1] {
			t.Errorf("%s: got %s, %q, want %s, %q", name, state, message, want[0], want[1])
		}
	}
	if events := s.events.(*recorder).events; len(events) > 0 {
		t.Errorf("got events %q, want none", events)
	}
}

func TestExceptionStatusErrors(t *testing.T) {
	resource := schema.GroupResource{Group: "portcullis.dev", Resource: "policyexceptions"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"a change in between", apierrors.NewConflict(resource, "e", errors.New("changed")), ""},
		{"deleted in between", apierrors.NewNotFound(resource, "e"), ""},
		{"no right", errors.New("forbidden"), `writing the status of exception "portcullis-system/e": forbidden`},
	} {
		e := exceptionFor(t, "e", "p", time.Hour)
		s, _ := exceptionWriter(t, test.err, []policies.PodPolicy{podPolicy(t, "p", `{"podSecurity":{"level":"baseline"}}`)}, e)
		got := ""
		if _, err := s.writeAll(t.Context(), exceptionsStart); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
		}
		if events := s.events.(*recorder).events; len(events) > 0 {
			t.Errorf("%s: got events %q, want none: the status does not remember them", test.name, events)
		}
	}
}

// TestExceptionStatusIsTriedAgain has the API server refuse the writes for a while.
func TestExceptionStatusIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := exceptionFor(t, "e", "p", time.Hour)
		s, writes := exceptionWriter(t, errors.New("away"), []policies.PodPolicy{podPolicy(t, "p", `{"podSecurity":{"level":"baseline"}}`)}, e)
		<-s.source.seenExceptions // the first turn is by the timer
		ctx, cancel := context.WithTimeout(t.Context(), 3*statusRetry-time.Second)
		defer cancel()
		s.lead(ctx)
		if int(writes.Load()) != 3 {
			t.Errorf("got %d writes within %s, want 3: at once, and one each %s", int(writes.Load()), 3*statusRetry, statusRetry)
		}
	})
}

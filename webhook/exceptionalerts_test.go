package webhook

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/cloudevents/cloudeventstest"
	"github.com/portcullis-dev/portcullis/policies"
)

// alerted is a CloudEvent as it arrives.
type alerted struct {
	Type, Subject string
	Data          map[string]any
}

// alertSink is a sink, and what has been sent to it since it was read last.
func alertSink(t *testing.T) (sink *cloudevents.Sink, read func() []alerted) {
	t.Helper()
	sink, bodies := cloudeventstest.NewSink(t)
	return sink, func() []alerted {
		var all []alerted
		for _, body := range bodies() {
			var a alerted
			if err := json.Unmarshal(body, &a); err != nil {
				t.Error(err)
			}
			all = append(all, a)
		}
		return all
	}
}

// TestExceptionAlerts lets time pass over exceptions, before two replicas of which
// one takes over from the other.
func TestExceptionAlerts(t *testing.T) {
	w := newTestWebhook(t)
	w.withExceptions(t,
		exceptionFor(t, "month", "restricted", 30*24*time.Hour),
		exceptionFor(t, "week", "restricted", 10*24*time.Hour),
		exceptionFor(t, "orphan", "gone", time.Hour),
	)
	sink, read := alertSink(t)
	now := exceptionsStart
	replica := func(set func() *policies.Set) *exceptionAlerts {
		return &exceptionAlerts{set: set, sink: sink, warning: 7 * 24 * time.Hour, now: func() time.Time { return now }}
	}
	one := replica(w.admission.policies)
	tell := func(what string, a *exceptionAlerts, after time.Duration, want ...string) {
		t.Helper()
		now = exceptionsStart.Add(after)
		for range 3 { // once is enough
			a.tell()
		}
		var got []string
		for _, e := range read() {
			got = append(got, e.Type+" "+e.Subject)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	day := 24 * time.Hour
	tell("nothing to tell", one, 3*day)
	tell("a week before", one, 3*day+time.Second, "dev.portcullis.exception.ending namespaces/portcullis-system/PolicyException/week")
	tell("the same", one, 9*day)
	tell("the end", one, 10*day, "dev.portcullis.exception.ended namespaces/portcullis-system/PolicyException/week")
	tell("another replica, just then", replica(w.admission.policies), 10*day+time.Minute, "dev.portcullis.exception.ended namespaces/portcullis-system/PolicyException/week")
	tell("another replica, later", replica(w.admission.policies), 11*day)
	tell("the next one", one, 24*day, "dev.portcullis.exception.ending namespaces/portcullis-system/PolicyException/month")
	tell("nothing is loaded", replica(func() *policies.Set { return nil }), 24*day)
}

func TestExceptionAlertData(t *testing.T) {
	w := newTestWebhook(t)
	w.withExceptions(t, exceptionFor(t, "e", "restricted", time.Hour))
	sink, read := alertSink(t)
	(&exceptionAlerts{set: w.admission.policies, sink: sink, warning: 2 * time.Hour, now: func() time.Time { return exceptionsStart }}).tell()
	want := []alerted{{
		"dev.portcullis.exception.ending", "namespaces/portcullis-system/PolicyException/e",
		map[string]any{"namespace": "portcullis-system", "name": "e", "owner": "team-a", "reason": "because", "ends": "2026-11-21T13:00:00Z"},
	}}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestExceptionAlertsOfSeveralPolicies requires that each end of an exception that names
// several policies is told ahead, as its status says it.
func TestExceptionAlertsOfSeveralPolicies(t *testing.T) {
	set, err := policies.Compile(loadPolicies(t, "soon", "720h", "late", "2160h"))
	if err != nil {
		t.Fatal(err)
	}
	e := exceptionFor(t, "e", "soon", 300*24*time.Hour)
	e.Spec.Policies = []string{"soon", "late"}
	if set, err = set.WithExceptions([]*policies.PolicyException{&e}); err != nil {
		t.Fatal(err)
	}
	sink, read := alertSink(t)
	now := exceptionsStart
	a := &exceptionAlerts{set: func() *policies.Set { return set }, sink: sink, warning: 7 * 24 * time.Hour, now: func() time.Time { return now }}
	for _, step := range []struct {
		day  int
		want string
	}{{20, ""}, {25, "dev.portcullis.exception.ending"}, {26, ""}, {31, ""}, {85, "dev.portcullis.exception.ending"}, {90, "dev.portcullis.exception.ended"}} {
		now = exceptionsStart.Add(time.Duration(step.day)*24*time.Hour + time.Minute)
		a.tell()
		got := ""
		for _, alert := range read() {
			got += alert.Type
		}
		if got != step.want {
			t.Errorf("day %d: got %q, want %q", step.day, got, step.want)
		}
	}
}

// loadPolicies makes policies, each of a name with the longest exception that it allows.
func loadPolicies(t *testing.T, pairs ...string) []*policies.PodPolicy {
	t.Helper()
	var all []*policies.PodPolicy
	for i := 0; i < len(pairs); i += 2 {
		list, err := policies.Load(fmt.Appendf(nil, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: %s}\nspec: {validate: {podSecurity: {level: restricted}}, exceptions: {maxDuration: %s}}", pairs[i], pairs[i+1]), "p")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

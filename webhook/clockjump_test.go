package webhook

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/e2e/wallclock"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestF29ExceptionStatus sets the clock over the end of an exception and back. What
// its status says follows within a minute, though no timer runs out.
func TestF29ExceptionStatus(t *testing.T) {
	real := time.Now() // times in a bubble have no monotonic reading
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		e := exceptionFor(t, "e", "p", time.Hour)
		e.CreationTimestamp, e.Spec.ExpiresAt = metav1.NewTime(real), metav1.NewTime(real.Add(90*time.Minute).Truncate(time.Second))
		s, _ := exceptionWriter(t, nil, []policies.PodPolicy{podPolicy(t, "p", `{"podSecurity":{"level":"baseline"}}`)}, e)
		var set atomic.Int64
		s.warning = time.Minute
		s.now = func() time.Time { return wallclock.Set(t, real.Add(time.Since(start)), time.Duration(set.Load())) }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.lead(ctx)
		for _, step := range []struct {
			set   time.Duration
			after time.Duration
			want  string
		}{
			{0, time.Second, "True Active"},
			{2 * time.Hour, clockCheck + time.Second, "False Expired"},
			{0, clockCheck + time.Second, "True Active"},
			{time.Hour, 30 * time.Minute, "False Expired"},
		} {
			set.Store(int64(step.set))
			time.Sleep(step.after)
			synctest.Wait()
			if got, why, _ := stateNow(t, s, "e"); got != step.want {
				t.Errorf("%s after the clock was set to %s ahead: got %s, %s, want %s", step.after, step.set, got, why, step.want)
			}
		}
	})
}

// TestF29ExceptionAlerts has the clock be set past the end of an exception.
func TestF29ExceptionAlerts(t *testing.T) {
	w := newTestWebhook(t)
	w.withExceptions(t, exceptionFor(t, "e", "restricted", 24*time.Hour))
	sink, read := alertSink(t)
	now := exceptionsStart
	a := &exceptionAlerts{set: w.admission.policies, sink: sink, warning: time.Minute, now: func() time.Time { return now }}
	for _, after := range []time.Duration{0, 25 * time.Hour, 26 * time.Hour} {
		now = exceptionsStart.Add(after)
		a.tell()
	}
	var got []string
	for _, e := range read() {
		got = append(got, e.Type)
	}
	if diff := cmp.Diff([]string{"dev.portcullis.exception.ended"}, got); diff != "" {
		t.Errorf("told of an end that was jumped over (-want +got):\n%s", diff)
	}
}

// TestF29Rotation sets the clock of a replica that makes certificates. What it makes is
// valid for an API server whose clock is right, and an authority that is new is trusted
// for a while before what it has signed is served, however far the clock jumps.
func TestF29Rotation(t *testing.T) {
	for _, set := range []time.Duration{time.Hour + 10*time.Second, 12 * time.Hour, -time.Hour} {
		c := newRotationCluster(t, nil)
		r := c.replica()
		r.options.Lifetime = 90 * 24 * time.Hour
		right := c.now
		c.now = wallclock.Set(t, right, set)
		c.step(r)
		leaf := c.leaf(r)
		if right.Before(leaf.NotBefore) || right.After(leaf.NotAfter) {
			t.Errorf("set by %s: got a certificate from %s to %s, want one that is valid at %s", set, leaf.NotBefore, leaf.NotAfter, right)
		}
		if authority := c.bundle()[0]; right.Before(authority.NotBefore) {
			t.Errorf("set by %s: got an authority from %s, want one that is valid at %s", set, authority.NotBefore, right)
		}
	}
	c := newRotationCluster(t, nil)
	r := c.replica()
	r.options.Lifetime = 90 * 24 * time.Hour
	made := c.now
	for range 4 { // certificates are due one after the other
		c.step(r)
		c.now = c.now.Add(r.options.Lifetime*2/3 + time.Hour)
	}
	c.now = made.Add(authorityLifetimes * r.options.Lifetime * 2 / 3).Add(time.Minute) // the authority is due
	first := c.leaf(r)
	c.step(r)
	c.step(r) // it is known to be trusted
	c.now = wallclock.Set(t, c.now.Add(time.Second), time.Hour)
	c.step(r)
	if got := c.leaf(r); !got.Equal(first) {
		t.Error("got another certificate served a second after its authority was made, want that to settle first")
	}
	c.now = c.now.Add(r.options.settle())
	c.step(r)
	if c.leaf(r).Equal(first) {
		t.Errorf("got the same certificate served %s later, want the new one", r.options.settle())
	}
}

// TestF29Access remembers who may read the audit page for as long as has passed.
func TestF29Access(t *testing.T) {
	now := time.Now()
	a := &accessAnswers{now: func() time.Time { return now }}
	q := accessQuestion{token: "a"}
	a.allow(q)
	for _, set := range []time.Duration{time.Hour, -time.Hour} {
		now = wallclock.Set(t, now.Add(time.Second), set)
		if !a.allows(q) {
			t.Errorf("got it forgotten when the clock was set by %s", set)
		}
	}
	now = now.Add(allowedFor)
	if a.allows(q) {
		t.Errorf("got it remembered after %s, want the API server asked again", allowedFor)
	}
}

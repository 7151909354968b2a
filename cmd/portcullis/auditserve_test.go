package main

import (
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/webhook"
)

// TestServingJudgeVersion holds that what is kept of a scan is thrown away when the
// policies change, and when an exception ends, which changes no object.
func TestServingJudgeVersion(t *testing.T) {
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	set := func(end time.Time) *policies.Set {
		list, exceptions, err := policies.LoadAll(policies.ExceptionTerms{Ended: true}, "../../examples/exception.yaml")
		if err != nil {
			t.Fatal(err)
		}
		exceptions[0].Spec.ExpiresAt.Time = end.Truncate(time.Second)
		exceptions[0].CreationTimestamp.Time = time.Now().Add(-time.Hour)
		made, err := rules{policies: list, exceptions: exceptions}.compile()
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	version := func(of *policies.Set, number int) string {
		j, err := servingJudge(webhook.Shared{Engine: core, Policies: func() (*policies.Set, int) { return of, number }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return j.Version()
	}
	over, active := set(time.Now().Add(-time.Second)), set(time.Now().Add(time.Hour))
	for name, test := range map[string]struct {
		a, b string
		same bool
	}{
		"nothing changed":    {version(active, 1), version(active, 1), true},
		"an exception ended": {version(active, 1), version(over, 1), false},
		"policies changed":   {version(active, 1), version(active, 2), false},
	} {
		if same := test.a == test.b; same != test.same {
			t.Errorf("%s: got versions %q and %q, want them to be the same: %t", name, test.a, test.b, test.same)
		}
	}
	j, err := servingJudge(webhook.Shared{Engine: core, Policies: func() (*policies.Set, int) { return nil, 0 }}, nil)
	if j != nil || err != nil {
		t.Errorf("before the policies are loaded: got %v and error %v, want neither", j, err)
	}
}

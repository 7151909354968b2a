package webhook

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/portcullis-dev/portcullis/policies"
)

// statusWriter writes the status of one policy, "p" of generation 2, and counts
// the writes. The error is what each write ends in.
func statusWriter(t *testing.T, err error) (s *policyStatus, writes *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := policies.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	writes = new(int)
	p := &policies.PodPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "1", Generation: 2}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(p).WithStatusSubresource(p).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, options ...client.SubResourceUpdateOption) error {
			*writes++
			if err != nil {
				return err
			}
			return c.SubResource(name).Update(ctx, o, options...)
		},
	}).Build()
	return &policyStatus{source: &clusterPolicies{seen: make(chan struct{}, 1)}, client: c, log: slog.New(slog.DiscardHandler)}, writes
}

func TestStatusIsWrittenOnce(t *testing.T) {
	s, writes := statusWriter(t, nil)
	current := policyVersion{uid: "1", generation: 2, inForce: 2, rules: 1}
	for _, step := range []struct {
		name    string
		policy  string
		version policyVersion
		writes  int
	}{
		{"an older version", "p", policyVersion{uid: "1", generation: 1}, 0},
		{"a policy of that name that is gone", "p", policyVersion{uid: "0", generation: 2}, 0},
		{"a policy that is gone", "q", current, 0},
		{"the version that there is", "p", current, 1},
		{"nothing new", "p", current, 1},
		{"other rules", "p", policyVersion{uid: "1", generation: 2, inForce: 2, rules: 2}, 2},
	} {
		if err := s.write(t.Context(), step.policy, step.version); err != nil {
			t.Fatal(err)
		}
		if *writes != step.writes {
			t.Errorf("%s: got %d writes in all, want %d", step.name, *writes, step.writes)
		}
	}
}

func TestStatusErrors(t *testing.T) {
	resource := schema.GroupResource{Group: "portcullis.dev", Resource: "podpolicies"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"a change in between", apierrors.NewConflict(resource, "p", errors.New("changed")), ""},
		{"deleted in between", apierrors.NewNotFound(resource, "p"), ""},
		{"no right", errors.New("forbidden"), `writing the status of policy "p": forbidden`},
	} {
		s, _ := statusWriter(t, test.err)
		got := ""
		if err := s.write(t.Context(), "p", policyVersion{uid: "1", generation: 2}); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
		}
	}
}

// TestStatusIsTriedAgain has the API server refuse the writes for a while.
func TestStatusIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, writes := statusWriter(t, errors.New("away"))
		s.source.current.Store(&loaded{versions: map[string]policyVersion{"p": {uid: "1", generation: 2}}})
		ctx, cancel := context.WithTimeout(t.Context(), 3*statusRetry-time.Second)
		defer cancel()
		s.lead(ctx)
		if *writes != 3 {
			t.Errorf("got %d writes within %s, want 3: at once, and one each %s", *writes, 3*statusRetry, statusRetry)
		}
	})
}

func TestConditionIsBounded(t *testing.T) {
	v := policyVersion{generation: 2, problems: policies.Problems{{Field: "spec", Message: strings.Repeat("ü", maxConditionMessage)}}}
	got := v.ready().Message
	if len(got) > maxConditionMessage+200 || !strings.HasPrefix(got, "the policy is invalid, and nothing of it is in force:\nspec: ü") || !strings.HasSuffix(got, "ü...") {
		t.Errorf("got a message of %d bytes, %.80s", len(got), got)
	}
}

// TestInvalidPolicyIsTold holds that a sink hears of each invalid version once, from
// whichever replica writes the status.
func TestInvalidPolicyIsTold(t *testing.T) {
	s, _ := statusWriter(t, nil)
	sink, read := alertSink(t)
	s.alerts = sink
	invalid := policyVersion{uid: "1", generation: 2, problems: policies.Problems{{Field: "spec.mode", Message: "unknown"}}}
	for _, step := range []struct {
		name    string
		version policyVersion
		want    int
	}{
		{"invalid", invalid, 1},
		{"the same", invalid, 0},
		{"the same, and the one before is in force now", policyVersion{uid: "1", generation: 2, inForce: 1, problems: invalid.problems}, 0},
		{"valid", policyVersion{uid: "1", generation: 2, inForce: 2}, 0},
		{"invalid by a later release", invalid, 1},
	} {
		if err := s.write(t.Context(), "p", step.version); err != nil {
			t.Fatal(err)
		}
		got := read()
		if len(got) != step.want {
			t.Errorf("%s: got %d events, want %d", step.name, len(got), step.want)
		}
		for _, e := range got {
			if e.Type != "dev.portcullis.policy.invalid" || e.Subject != "PodPolicy/p" || e.Data["reason"] != "Invalid" || e.Data["generation"] != 2.0 ||
				!strings.Contains(e.Data["message"].(string), "spec.mode: unknown") {
				t.Errorf("%s: got %+v", step.name, e)
			}
		}
	}
}

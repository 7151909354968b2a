package webhook

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestRegistrationAlerts holds that the sink hears of each change of the registration
// once, with what was done about it. That serve gives the guard its sink is
// TestT25Registration.
func TestRegistrationAlerts(t *testing.T) {
	g := guardBundle(t, "own", map[string]string{RevisionAnnotation: "r-1"})
	sink, read := alertSink(t)
	g.guard.sink = sink
	tell := func(what string, want ...map[string]any) {
		t.Helper()
		g.step() // nothing is told twice
		var events []alerted
		for _, data := range want {
			events = append(events, alerted{"dev.portcullis.registration.changed", "ValidatingWebhookConfiguration/portcullis", data})
		}
		if diff := cmp.Diff(events, read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	change := func(policy admissionregistrationv1.FailurePolicyType, revision string) {
		t.Helper()
		live := g.get()
		live.Webhooks[0].FailurePolicy = &policy
		live.Annotations[RevisionAnnotation] = revision
		if err := g.client.Update(t.Context(), live, client.FieldOwner("somebody")); err != nil {
			t.Fatal(err)
		}
		g.step()
	}
	tell("nothing has changed")
	change(admissionregistrationv1.Ignore, "r-1")
	tell("a change that is undone", map[string]any{
		"outcome": "restored", "changes": []any{"failurePolicy"},
		"note": "undid a change of failurePolicy; who wants it changes the annotation portcullis.dev/registration-revision with it",
	})
	change(admissionregistrationv1.Ignore, "r-2")
	tell("a change that an admin wants", map[string]any{
		"outcome": "accepted", "changes": []any{"failurePolicy"}, "note": `took over revision "r-2", which changes failurePolicy`,
	})
	g.recreate()
	tell("a deletion", map[string]any{
		"outcome": "restored", "changes": []any{"deleted"},
		"note": "made it anew after it was deleted; docs/operations.md says how to switch Portcullis off",
	})
}

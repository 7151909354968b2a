package webhook

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const registeredWebhook = `{"name":"validate.portcullis.dev","clientConfig":{"url":"https://a","caBundle":"QQ=="},"failurePolicy":"Fail","timeoutSeconds":5,` +
	`"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"],"scope":"Namespaced"}],"matchPolicy":"Equivalent",` +
	`"namespaceSelector":{},"objectSelector":{},"admissionReviewVersions":["v1"],"sideEffects":"None"}`

func registration(t *testing.T, webhooks string) *wantedRegistration {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON([]byte(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","webhooks":[` + webhooks + `]}`)); err != nil {
		t.Fatal(err)
	}
	w, err := registeredBy(object)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(w) // as it is kept
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Webhooks) == 0 {
		return w
	}
	return readWanted(string(data))
}

// TestRegistrationChanges names what differs, and takes for no difference what
// somebody else keeps or a newer API server has added. The rest is TestT25Registration.
func TestRegistrationChanges(t *testing.T) {
	replace := func(old, updated string) string { return strings.Replace(registeredWebhook, old, updated, 1) }
	for _, test := range []struct {
		name, found, wanted string
		anyBundle           bool
		want                []string
	}{
		{name: "the same", found: registeredWebhook, wanted: registeredWebhook},
		{name: "a field of a newer API server", found: replace(`"matchPolicy"`, `"newField":{"a":1},"matchPolicy"`), wanted: registeredWebhook},
		{name: "another authority", found: replace("QQ==", "Qg=="), wanted: registeredWebhook, want: []string{"clientConfig"}},
		{name: "another authority, kept by somebody", found: replace("QQ==", "Qg=="), wanted: registeredWebhook, anyBundle: true},
		{name: "an authority where none was known", found: registeredWebhook, wanted: replace(`,"caBundle":"QQ=="`, "")},
		{name: "another address, whoever keeps the authority", found: replace("https://a", "https://b"), wanted: registeredWebhook, anyBundle: true, want: []string{"clientConfig"}},
		{name: "two fields", found: strings.Replace(replace("Fail", "Ignore"), `:5`, ":1", 1), wanted: registeredWebhook, want: []string{"failurePolicy", "timeoutSeconds"}},
		{name: "what nobody names", found: replace(`"sideEffects":"None"`, `"sideEffects":"Some"`), wanted: registeredWebhook, want: []string{"other"}},
		{name: "another order", found: replace("validate.", "x.") + "," + registeredWebhook, wanted: registeredWebhook + "," + replace("validate.", "x."), want: []string{"webhooks"}},
		{name: "none", found: "", wanted: registeredWebhook, want: []string{"webhooks"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := registration(t, test.found)
			if diff := cmp.Diff(test.want, found.changes(registration(t, test.wanted), test.anyBundle)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
	if got := registration(t, registeredWebhook).changes(nil, false); got != nil {
		t.Errorf("nothing is wanted yet: got %v, want no changes", got)
	}
}

// TestRegistrationList holds that fields that this build does not know survive.
func TestRegistrationList(t *testing.T) {
	w := registration(t, strings.Replace(registeredWebhook, `"matchPolicy"`, `"newField":{"a":1},"matchPolicy"`, 1))
	list, err := w.list([]byte("B"))
	if err != nil {
		t.Fatal(err)
	}
	webhook := list[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{"a": int64(1)}, webhook["newField"]); diff != "" {
		t.Errorf("newField (-want +got):\n%s", diff)
	}
	if got := webhook["clientConfig"].(map[string]any)["caBundle"]; got != "Qg==" {
		t.Errorf("got the caBundle %v, want the one that was given", got)
	}
}

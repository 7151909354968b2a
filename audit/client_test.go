package audit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

// TestClientResumes requires that an expired list goes on where an API server says,
// by the status that it writes: k8s.io/apiserver, pkg/storage/etcd3, inconsistent
// continue tokens.
func TestClientResumes(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Query().Get("continue") {
		case "":
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5","continue":"two"},"items":[{"a":1}]}`)
		case "two":
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"later"},"status":"Failure","message":"The provided continue parameter is too old","reason":"Expired","code":410}`)
		case "later":
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"a":2},{"a":3}]}`)
		}
	}))
	defer server.Close()
	client, err := NewClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = list(t.Context(), client, Page{Path: "/api/v1/pods"}, func() collector {
		return func(object jsontext.Value) error { seen = append(seen, string(object)); return nil }
	})
	if diff := cmp.Diff([]string{`{"a":1}`, `{"a":2}`, `{"a":3}`}, seen); diff != "" || err != nil {
		t.Errorf("got error %v, objects (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"/api/v1/pods?limit=500", "/api/v1/pods?continue=two&limit=500", "/api/v1/pods?continue=later&limit=500"}, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

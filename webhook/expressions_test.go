package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

// expensive costs more than one expression may (1,000,000 units).
const expensive = `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))`

// withExpressions puts policies of expressions in force, each with as many copies of
// one expression.
func (w *testWebhook) withExpressions(t testing.TB, onError, expression string, names ...int) {
	t.Helper()
	var text strings.Builder
	for policy, copies := range names {
		fmt.Fprintf(&text, "---\napiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p%d}\nspec:\n  validate:\n    expressions:\n", policy)
		for i := range copies {
			fmt.Fprintf(&text, "    - {name: p%de%d, onError: %s, expression: %q}\n", policy, i, onError, expression)
		}
	}
	list, err := policies.Load([]byte(text.String()), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	w.admission.policies = func() *policies.Set { return set }
}

// TestExpressionsCostWhatTheyMay has each expression of a policy cost as much as it
// can: ten of them use up what a policy may cost, and those after them are not
// evaluated. The limit is of each policy: another one is judged all the same.
func TestExpressionsCostWhatTheyMay(t *testing.T) {
	w := newTestWebhook(t)
	w.withExpressions(t, "Deny", expensive, 13, 1)
	req, err := decodeReview(podReview(safeSpec, nil))
	if err != nil {
		t.Fatal(err)
	}
	got := w.admission.validate(t.Context(), req) // without a deadline: the machine may be busy
	if got.Allowed {
		t.Fatal("got it allowed, want a refusal: what cannot be evaluated counts as false")
	}
	own, rest, _ := strings.Cut(got.Result.Message, "- p1: ")
	if count := strings.Count(own, "actual cost limit exceeded"); count != 10 {
		t.Errorf("got %d expressions that cost more than one may, want 10:\n%s", count, own)
	}
	if count := strings.Count(own, "the expressions of this policy cost more than they may together"); count != 3 {
		t.Errorf("got %d expressions that were not evaluated any more, want 3:\n%s", count, own)
	}
	if !strings.Contains(rest, "expressions/p1e0: spec: the expression cannot be evaluated: operation cancelled: actual cost limit exceeded. Fix: have the policy make its expressions cheaper") {
		t.Errorf("got %q about the other policy, want it evaluated", rest)
	}
}

// answer is the answer to the review of a good pod with a timeout of the API server.
func answer(t *testing.T, w *testWebhook, timeout string) *admissionv1.AdmissionResponse {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/x?timeout="+timeout, strings.NewReader(string(podReview(safeSpec, nil))))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	w.validate.ServeHTTP(recorder, request)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("got status %d and %s (%v), want an answer", recorder.Code, recorder.Body, err)
	}
	return review.Response
}

// TestExpressionsEndWithTheRequest has policies cost more time than a request has:
// the answer comes before the API server gives up, and says why.
func TestExpressionsEndWithTheRequest(t *testing.T) {
	w := newTestWebhook(t)
	copies := make([]int, 100)
	for i := range copies {
		copies[i] = 20
	}
	w.withExpressions(t, "Deny", expensive, copies...)
	best := time.Hour
	for try := 0; try < 3 && best > 2*time.Second; try++ { // the machine may do something else
		start := time.Now()
		got := answer(t, w, "2s")
		best = min(best, time.Since(start))
		if got.Allowed || !strings.Contains(got.Result.Message, "the time of the request ran out") {
			t.Fatalf("got %+v, want a refusal that says that the time ran out", got)
		}
	}
	t.Logf("answered after %s", best)
	if best > 2*time.Second {
		t.Errorf("answered after %s, want it within the 2s of the request", best)
	}
}

// BenchmarkExpressions is a review by expressions, decoding and answer included.
func BenchmarkExpressions(b *testing.B) {
	const usual = "pod.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || !c.securityContext.privileged)"
	body := string(podReview(safeSpec, nil))
	for _, copies := range []int{1, 10, 50} {
		w := newTestWebhook(b)
		w.withExpressions(b, "Deny", usual, copies)
		b.Run(fmt.Sprint(copies), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequest(http.MethodPost, "/x?timeout=5s", strings.NewReader(body))
				request.Header.Set("Content-Type", "application/json")
				w.validate.ServeHTTP(httptest.NewRecorder(), request)
			}
		})
	}
}

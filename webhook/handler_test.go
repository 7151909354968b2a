package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// fakeImages answers every need with one digest.
type fakeImages struct{ asked atomic.Int32 }

func (f *fakeImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		f.asked.Add(1)
		facts[n.Image] = image.Fact{Digest: "sha256:" + strings.Repeat("a", 64)}
	}
	return facts
}

// fakeNamespaces knows namespaces by name.
type fakeNamespaces map[string]map[string]string

func (f fakeNamespaces) GetNamespace(_ context.Context, name string) (*corev1.Namespace, error) {
	labels, ok := f[name]
	if !ok {
		return nil, errors.New("the internals of the API server")
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, nil
}

func (f fakeNamespaces) ListPods(context.Context, string) ([]*corev1.Pod, error) { return nil, nil }

// testWebhook is both endpoints in front of the restricted preset.
type testWebhook struct {
	mutate, validate *endpoint
	admission        *admission
	images           *fakeImages
	metrics          *metrics
}

func newTestWebhook(t testing.TB) *testWebhook {
	t.Helper()
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	preset, err := policies.Preset("restricted")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile([]*policies.PodPolicy{preset})
	if err != nil {
		t.Fatal(err)
	}
	w := &testWebhook{images: &fakeImages{}, metrics: newMetrics(prometheus.NewRegistry())}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	a := &admission{
		engine: core, policies: func() *policies.Set { return set }, images: w.images, metrics: w.metrics, log: log, now: time.Now,
		namespaces: fakeNamespaces{"web": nil, "kube-system": nil, "labelled": {"pod-security.kubernetes.io/enforce": "baseline"}},
	}
	w.admission = a
	w.mutate = &endpoint{name: "mutate", admit: a.mutate, metrics: w.metrics, log: log, draining: &atomic.Bool{}, room: newRoom()}
	w.validate = &endpoint{name: "validate", admit: a.validate, metrics: w.metrics, log: log, draining: &atomic.Bool{}, room: newRoom()}
	return w
}

const (
	safeSpec       = `{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"app","image":"app:1","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}`
	privilegedSpec = `{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"app","image":"app:1","securityContext":{"privileged":true,"allowPrivilegeEscalation":true,"capabilities":{"drop":["ALL"]}}}]}`
)

// podReview is the review of a pod with the given spec.
func podReview(spec string, change func(*admissionv1.AdmissionRequest)) []byte {
	r := &admissionv1.AdmissionRequest{
		UID: "1", Namespace: "web", Name: "x", Operation: admissionv1.Create,
		Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object:   runtime.RawExtension{Raw: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":` + spec + `}`)},
	}
	if change != nil {
		change(r)
	}
	data, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r,
	})
	if err != nil {
		panic(err)
	}
	return data
}

// post sends a body and returns the response of the review in the answer.
func post(t testing.TB, e *endpoint, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/x?timeout=5s", strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("got status %d: %s, want 200", recorder.Code, recorder.Body)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Response == nil {
		t.Fatalf("got %s, want an AdmissionReview with a response", recorder.Body)
	}
	return review.Response
}

func TestDenial(t *testing.T) {
	w := newTestWebhook(t)
	got := post(t, w.validate, podReview(privilegedSpec, nil))
	message := `Pod "x" is refused:
- restricted: podSecurity/privileged: container "app": spec.containers[0].securityContext.privileged is true: forbidden by Pod Security restricted:latest (privileged). Fix: set it to false.
- restricted: podSecurity/allowPrivilegeEscalation: container "app": spec.containers[0].securityContext.allowPrivilegeEscalation is true: forbidden by Pod Security restricted:latest (allowPrivilegeEscalation != false). Fix: set it to false.`
	want := &admissionv1.AdmissionResponse{
		UID:    "1",
		Result: &metav1.Status{Status: "Failure", Code: 403, Reason: "Forbidden", Message: message},
		AuditAnnotations: map[string]string{
			"findings": "Enforce: " + strings.Join(strings.Split(message, "\n- ")[1:], "\nEnforce: "),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if got := testutil.ToFloat64(w.metrics.findings.WithLabelValues("podSecurity", "privileged", "Enforce")); got != 1 {
		t.Errorf("got %v findings counted, want 1", got)
	}
	if got := testutil.ToFloat64(w.metrics.reviews.WithLabelValues("validate", "pods", "CREATE", "denied")); got != 1 {
		t.Errorf("got %v denials counted, want 1", got)
	}
}

func TestMutation(t *testing.T) {
	w := newTestWebhook(t)
	got := post(t, w.mutate, podReview(safeSpec, nil))
	kind := admissionv1.PatchTypeJSONPatch
	pinned := "app:1@sha256:" + strings.Repeat("a", 64)
	want := &admissionv1.AdmissionResponse{
		UID: "1", Allowed: true, PatchType: &kind,
		Patch:            []byte(`[{"op":"replace","path":"/spec/containers/0/image","value":"` + pinned + `"}]`),
		AuditAnnotations: map[string]string{"edits": `restricted: digests: container "app": spec.containers[0].image is set to "` + pinned + `", from its registry`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	again := post(t, w.mutate, podReview(strings.Replace(safeSpec, "app:1", pinned, 1), nil))
	if again.Patch != nil || w.images.asked.Load() != 1 {
		t.Errorf("got patch %s and %d questions in all, want no patch and the first question alone", again.Patch, w.images.asked.Load())
	}
}

// TestWhatIsJudged is T08 to T12 of the threat list at the level of requests:
// what could be a way around the rules is judged, what cannot be is let pass.
func TestWhatIsJudged(t *testing.T) {
	subresource := func(name string, operation admissionv1.Operation) func(*admissionv1.AdmissionRequest) {
		return func(r *admissionv1.AdmissionRequest) {
			r.SubResource, r.Operation = name, operation
			if operation == admissionv1.Update {
				r.OldObject.Raw = []byte(`{"spec":` + safeSpec + `}`)
			}
		}
	}
	for _, test := range []struct {
		name    string
		change  func(*admissionv1.AdmissionRequest)
		allowed bool
		message string // part of it
	}{
		{name: "T08 a subresource that is not known", change: subresource("futurething", admissionv1.Update), message: "podSecurity/privileged"},
		{name: "T01 ephemeral containers", change: subresource("ephemeralcontainers", admissionv1.Update), message: "podSecurity/privileged"},
		{name: "T03 resize", change: subresource("resize", admissionv1.Update), message: "podSecurity/privileged"},
		{name: "a harmless subresource", change: subresource("status", admissionv1.Update), allowed: true},
		{name: "exec", change: subresource("exec", admissionv1.Connect), allowed: true},
		{name: "delete", change: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete }, allowed: true},
		{
			name:    "a subresource that holds something else",
			change:  func(r *admissionv1.AdmissionRequest) { r.SubResource, r.Kind.Kind = "futurething", "Binding" },
			message: "cannot judge a /v1, Kind=Binding in pods/futurething: expected one of the kinds that carry a pod template",
		},
		{
			name: "T09 an object that is being deleted",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Object.Raw = []byte(`{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a/b"]},"spec":` + privilegedSpec + `}`)
			},
			message: "podSecurity/privileged",
		},
		{
			name: "T10 a generated name and no namespace in the object",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Name = ""
				r.Object.Raw = []byte(`{"metadata":{"generateName":"x-"},"spec":` + privilegedSpec + `}`)
			},
			message: `Pod "x-" is refused`,
		},
		{
			name: "T11 a forged owner",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Object.Raw = []byte(`{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"good","uid":"u","controller":true}]},"spec":` + privilegedSpec + `}`)
			},
			message: "podSecurity/privileged",
		},
		{
			name: "T12 a controller's service account",
			change: func(r *admissionv1.AdmissionRequest) {
				r.UserInfo.Username = "system:serviceaccount:kube-system:replicaset-controller"
			},
			message: "podSecurity/privileged",
		},
		{
			name: "T26 a mirror pod",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Object.Raw = []byte(`{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}},"spec":` + privilegedSpec + `}`)
			},
			message: "podSecurity/privileged",
		},
		{
			name:    "a namespace that cannot be looked up",
			change:  func(r *admissionv1.AdmissionRequest) { r.Namespace = "gone" },
			message: `Portcullis cannot look up namespace "gone" and refuses what it cannot judge; try again`,
		},
		{
			name:    "a field that cannot be read",
			change:  func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec":{"containers":[{"image":1}]}}`) },
			message: "decoding Pod: spec.containers[0].image: got a number, expected a string",
		},
		{
			name:    "an update without the old object",
			change:  func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update },
			message: "the review has no object, or is of an update and has no old object",
		},
		{
			name: "another resource",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Resource = metav1.GroupVersionResource{Version: "v1", Resource: "services"}
			},
			allowed: true,
		},
		{
			name: "scaling",
			change: func(r *admissionv1.AdmissionRequest) {
				r.Resource = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
				r.Kind = metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
				r.SubResource, r.Operation = "scale", admissionv1.Update
			},
			allowed: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := post(t, newTestWebhook(t).validate, podReview(privilegedSpec, test.change))
			message := ""
			if got.Result != nil {
				message = got.Result.Message
			}
			if got.Allowed != test.allowed || !strings.Contains(message, test.message) {
				t.Errorf("got allowed %v, message %q, want %v, a message with %q", got.Allowed, message, test.allowed, test.message)
			}
			if strings.Contains(message, "internals") {
				t.Errorf("got message %q, want none that tells internals", message)
			}
		})
	}
}

func TestWhatIsNotAReview(t *testing.T) {
	for _, test := range []struct {
		name, method, contentType, body string
		status                          int
		message                         string
	}{
		{name: "GET", method: http.MethodGet, status: 405, message: "got method GET, want POST"},
		{name: "YAML", contentType: "application/yaml", status: 415, message: `got content type "application/yaml", want application/json`},
		{name: "T60 too large", body: `{"a":"` + strings.Repeat("a", maxBody) + `"}`, status: 413, message: "the review is larger than 7340032 bytes"},
		{name: "T61 not JSON", body: `{`, status: 400, message: "decoding the AdmissionReview: "},
		{
			name: "T61 another version", body: `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}`, status: 400,
			message: `got apiVersion "admission.k8s.io/v1beta1", kind "AdmissionReview", want admission.k8s.io/v1, AdmissionReview`,
		},
		{
			name: "T61 no request", body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, status: 400,
			message: "the AdmissionReview has no request with a uid",
		},
		{name: "T61 a repeated name", body: `{"kind":"AdmissionReview","kind":"x"}`, status: 400, message: "duplicate object member name"},
		{name: "T61 deep nesting", body: strings.Repeat(`{"request":`, 20000), status: 400, message: "exceeded max depth"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestWebhook(t)
			if test.method == "" {
				test.method = http.MethodPost
			}
			if test.contentType == "" {
				test.contentType = "application/json; charset=utf-8"
			}
			request := httptest.NewRequest(test.method, "/validate", strings.NewReader(test.body))
			request.Header.Set("Content-Type", test.contentType)
			recorder := httptest.NewRecorder()
			w.validate.ServeHTTP(recorder, request)
			if recorder.Code != test.status || !strings.Contains(recorder.Body.String(), test.message) {
				t.Errorf("got %d %s, want %d %s", recorder.Code, recorder.Body, test.status, test.message)
			}
			if got := testutil.ToFloat64(w.metrics.rejected.WithLabelValues("validate")); got != 1 {
				t.Errorf("got %v rejections counted, want 1", got)
			}
		})
	}
}

// TestT62Panic requires that a panic denies the object and not the connection.
func TestT62Panic(t *testing.T) {
	w := newTestWebhook(t)
	w.validate.admit = func(context.Context, *request) *admissionv1.AdmissionResponse { panic("secret detail") }
	got := post(t, w.validate, podReview(safeSpec, nil))
	if got.Allowed || got.Result.Code != 500 || strings.Contains(got.Result.Message, "secret") {
		t.Errorf("got %+v, want a denial with code 500 that tells no detail", got)
	}
	if got := testutil.ToFloat64(w.metrics.panics); got != 1 {
		t.Errorf("got %v panics counted, want 1", got)
	}
	if got := testutil.ToFloat64(w.metrics.reviews.WithLabelValues("validate", "pods", "CREATE", "error")); got != 1 {
		t.Errorf("got %v errors counted, want 1", got)
	}
}

func TestDeadline(t *testing.T) {
	for _, test := range []struct {
		timeout string
		want    time.Duration
	}{
		{"10s", 8800 * time.Millisecond},
		{"30s", maxDeadline},
		{"2s", 800 * time.Millisecond},
		{"1s", 250 * time.Millisecond},
		{"", maxDeadline},
		{"-5s", maxDeadline},
		{"soon", maxDeadline},
	} {
		if got := deadline(test.timeout); got != test.want {
			t.Errorf("deadline(%q): got %s, want %s", test.timeout, got, test.want)
		}
	}
	w := newTestWebhook(t)
	w.validate.admit = func(ctx context.Context, _ *request) *admissionv1.AdmissionResponse {
		end, ok := ctx.Deadline()
		return refused(400, "", fmt.Sprint(ok, time.Until(end) > 3500*time.Millisecond, time.Until(end) <= 3800*time.Millisecond))
	}
	if got := post(t, w.validate, podReview(safeSpec, nil)).Result.Message; got != "true true true" {
		t.Errorf("got %s, want a deadline within 3.5 and 3.8 s of a timeout of 5 s", got)
	}
}

func TestDraining(t *testing.T) {
	w := newTestWebhook(t)
	w.validate.draining.Store(true)
	request := httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(string(podReview(safeSpec, nil))))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	w.validate.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK || recorder.Header().Get("Connection") != "close" {
		t.Errorf("got status %d, Connection %q, want an answer that closes the connection", recorder.Code, recorder.Header().Get("Connection"))
	}
}

func TestAnnotationsAreBounded(t *testing.T) {
	list := strings.Split(strings.Repeat("a finding of some length;", 1000), ";")
	got := joined(list, func(b []byte, s string) []byte { return append(b, s...) })
	if len(got) > maxAnnotation+20 || !strings.HasSuffix(got, " more") {
		t.Errorf("got %d bytes ending in %q, want at most %d ending in how many more", len(got), got[len(got)-20:], maxAnnotation)
	}
}

func FuzzReview(f *testing.F) {
	f.Add(podReview(privilegedSpec, nil))
	f.Add(podReview(safeSpec, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","resource":{"resource":"pods"},"operation":"CREATE"}}`))
	w := newTestWebhook(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, e := range []*endpoint{w.mutate, w.validate} {
			request := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(string(body)))
			request.Header.Set("Content-Type", "application/json")
			e.ServeHTTP(httptest.NewRecorder(), request)
		}
		if got := testutil.ToFloat64(w.metrics.panics); got > 0 {
			t.Fatalf("panicked on %q", body)
		}
	})
}

func BenchmarkReview(b *testing.B) {
	w := newTestWebhook(b)
	for _, test := range []struct {
		name string
		e    *endpoint
		spec string
	}{{"mutate", w.mutate, safeSpec}, {"validate-allowed", w.validate, safeSpec}, {"validate-denied", w.validate, privilegedSpec}} {
		body := string(podReview(test.spec, nil))
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequest(http.MethodPost, "/x?timeout=5s", strings.NewReader(body))
				request.Header.Set("Content-Type", "application/json")
				test.e.ServeHTTP(httptest.NewRecorder(), request)
			}
		})
	}
}

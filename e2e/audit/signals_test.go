package audit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// sink takes CloudEvents, which the SDK reads.
type sink struct {
	*httptest.Server
	mutex  sync.Mutex
	events []event.Event
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e event.Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("got %s: %v", body, err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("got %s: %v", body, err)
		}
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.events = append(s.events, e)
	}))
	t.Cleanup(s.Close)
	return s
}

// about are the types of the events on what is in a namespace, and what each is about.
func (s *sink) about(namespace string) (events []string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, e := range s.events {
		if object, ok := strings.CutPrefix(e.Subject(), "namespaces/"+namespace+"/"); ok {
			events = append(events, e.Type()+" "+object)
		}
	}
	return events
}

// eventsOn are our Events on an object, as kubectl describe asks for them.
func eventsOn(t testing.TB, c *suite.Cluster, object client.Object, kind string) (ours []corev1.Event) {
	t.Helper()
	list, err := c.Clientset.CoreV1().Events(object.GetNamespace()).List(t.Context(), metav1.ListOptions{FieldSelector: fields.Set{
		"involvedObject.kind": kind, "involvedObject.name": object.GetName(), "involvedObject.namespace": object.GetNamespace(), "involvedObject.uid": string(object.GetUID()),
	}.String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.ReportingController == "portcullis.dev/audit" {
			ours = append(ours, e)
		}
	}
	return ours
}

// countEvents are all our Events in a namespace.
func countEvents(t testing.TB, c *suite.Cluster, namespace string) int {
	t.Helper()
	list, err := c.Clientset.EventsV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "reportingController=portcullis.dev/audit"})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// TestSignals lets an owner and a sink hear of what is wrong with a workload, and of
// nothing twice.
func TestSignals(t *testing.T) {
	c := cluster.Cluster(t)
	kindOfReports("openreports.yaml", "openreports.io", "v1alpha1", "").install(t, c)
	namespace := c.Namespace(t, nil)
	good, bad := suite.StatefulSet.New(namespace, "good", suite.GoodSpec()), suite.StatefulSet.New(namespace, "bad", badSpec())
	for _, object := range []client.Object{good, bad} {
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	waitForPods(t, c, namespace, 2)
	to := newSink(t)
	s := serve(t, c, "--cloudevents-url="+to.URL, "--cloudevents-source=//e2e")
	expect := func(what string, events int, alerts ...string) {
		t.Helper()
		suite.Eventually(t, 6*suite.Soon, func() error {
			if got := countEvents(t, c, namespace); got != events {
				return fmt.Errorf("%s: got %d Events in the namespace, want %d", what, got, events)
			}
			if diff := cmp.Diff(alerts, to.about(namespace)); diff != "" {
				return fmt.Errorf("%s: CloudEvents (-want +got):\n%s", what, diff)
			}
			return nil
		})
	}
	const newOther, newMeanwhile = "dev.portcullis.findings.new Deployment/other", "dev.portcullis.findings.new Deployment/meanwhile"
	expect("what was there before", 1)
	on := eventsOn(t, c, bad, "StatefulSet")
	if len(on) != 1 {
		t.Fatalf("got %d Events on the StatefulSet as kubectl describe asks for them, want 1", len(on))
	}
	if e := on[0]; e.Type != "Warning" || e.Reason != "PolicyViolation" || e.Action != "Audit" || len(e.Message) > 1024 ||
		!strings.HasPrefix(e.Message, "This StatefulSet would be refused if it were created now. Policy restricted, podSecurity/") {
		t.Errorf("got %+v", e)
	}

	// Dry runs, the same again and an audit write nothing.
	spec, err := json.Marshal(suite.StatefulSet.New(namespace, "bad", badSpec()))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := c.Client.Create(t.Context(), suite.StatefulSet.New(namespace, "never", badSpec()), client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		same := &unstructured.Unstructured{}
		if err := json.Unmarshal(spec, &same.Object); err != nil {
			t.Fatal(err)
		}
		if err := c.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(same), client.ForceOwnership, client.FieldOwner("test")); err != nil {
			t.Fatal(err)
		}
	}
	if got := portcullis(t, c, "", "audit", "--kubeconfig", c.Kubeconfig, "--namespace", namespace, "--preset", "restricted"); got.code != 1 {
		t.Errorf("got exit code %d of the audit, want 1: %s", got.code, got.stderr)
	}
	scans(t, s, 2)
	expect("nothing new", 1)

	other := suite.Deployment.New(namespace, "other", badSpec())
	if err := c.Client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	expect("a new workload", 2, newOther)
	if got := len(eventsOn(t, c, other, "Deployment")); got != 1 {
		t.Errorf("got %d Events on the Deployment, want 1 there and none on its ReplicaSet and Pods", got)
	}
	suite.Eventually(t, suite.Soon, func() error { // counted once the sink has answered
		got, err := s.Metric(`portcullis_cloudevents_total{result="delivered",type="dev.portcullis.findings.new"}`)
		if err != nil || got < 1 {
			return fmt.Errorf("got %v CloudEvents delivered by the metric, %v, want at least 1", got, err)
		}
		return nil
	})
	if got, err := s.Metric(`portcullis_audit_events_total{result="written"}`); err != nil || got < 2 {
		t.Errorf("got %v Events written by the metric, %v, want at least 2", got, err)
	}

	// Another replica knows what this one has told, by the Events and by the reports.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Create(t.Context(), suite.Deployment.New(namespace, "meanwhile", badSpec())); err != nil {
		t.Fatal(err)
	}
	s = serve(t, c, "--cloudevents-url="+to.URL, "--cloudevents-source=//e2e")
	expect("another replica", 3, newOther, newMeanwhile)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	if err := c.Client.Create(t.Context(), suite.Deployment.New(namespace, "quiet", badSpec())); err != nil {
		t.Fatal(err)
	}
	s = serve(t, c, "--audit-events=false")
	scans(t, s, 2)
	expect("Events are switched off", 3, newOther, newMeanwhile)
}

// TestHostileNames holds that the longest names there are, and values with markup and
// control characters, make Events that the API server takes.
func TestHostileNames(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	spec := suite.GoodSpec()
	spec.Containers[0].Name = strings.Repeat("c", 63)
	spec.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"<script>alert(1)</script>", corev1.Capability("\x1b[31m" + strings.Repeat("\u202eX", 500))}
	object := suite.PodTemplate.New(namespace, "long", spec).(*corev1.PodTemplate)
	object.Name = strings.Repeat(strings.Repeat("n", 62)+".", 4) + "n"
	if err := c.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	s := serve(t, c)
	scans(t, s, 1)
	var on []corev1.Event
	suite.Eventually(t, 6*suite.Soon, func() error {
		if on = eventsOn(t, c, object, "PodTemplate"); len(on) != 1 {
			return fmt.Errorf("got %d Events, want 1", len(on))
		}
		return nil
	})
	if strings.ContainsAny(on[0].Message, "\x1b\u202e") || len(on[0].Message) > 1024 {
		t.Errorf("got message %q", on[0].Message)
	}
	t.Logf("%s", on[0].Message)
}

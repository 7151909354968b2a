package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/portcullis-dev/portcullis/report"
)

// eventStore keeps Events by path and name, as an API server does.
type eventStore struct {
	events map[string]*eventsv1.Event
	order  []string
	writes int
	fail   error
}

func (s *eventStore) Create(_ context.Context, path string, object []byte) error {
	s.writes++
	if s.fail != nil {
		return s.fail
	}
	var e eventsv1.Event
	if err := json.Unmarshal(object, &e); err != nil {
		return err
	}
	key := path + "/" + e.Name
	if s.events[key] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Group: "events.k8s.io", Resource: "events"}, e.Name)
	}
	s.events[key] = &e
	s.order = append(s.order, key)
	return nil
}

func newStore() *eventStore { return &eventStore{events: map[string]*eventsv1.Event{}} }

func newTestEvents(s *eventStore) *Events {
	return NewEvents(s, "portcullis-abc", NewMetrics(prometheus.NewRegistry()))
}

func TestEvent(t *testing.T) {
	s := newStore()
	if err := newTestEvents(s).Tell(t.Context(), found(time.Unix(1000, 5000), "web Warn:probes Enforce:images! Audit:logging", "quiet Audit:logging", "fine")); err != nil {
		t.Fatal(err)
	}
	if len(s.order) != 1 {
		t.Fatalf("got events %v, want one: what is in mode Audit is not for owners", s.order)
	}
	e := s.events[s.order[0]]
	if !strings.HasPrefix(s.order[0], "/apis/events.k8s.io/v1/namespaces/shop/events/portcullis-") {
		t.Errorf("got path and name %s", s.order[0])
	}
	want := corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "uid-web"}
	if e.Regarding != want || e.Type != "Warning" || e.Reason != "PolicyViolation" || e.Action != "Audit" ||
		e.ReportingController != "portcullis.dev/audit" || e.ReportingInstance != "portcullis-abc" || !e.EventTime.Equal(&metav1.MicroTime{Time: time.Unix(1000, 5000)}) {
		t.Errorf("got %+v", e)
	}
	const note = "This Deployment would be refused if it were created now. Policy p, images: spec.x is not set: it is wrong. Fix: write it right. There is 1 more finding."
	if e.Note != note {
		t.Errorf("got note %q, want %q", e.Note, note)
	}
}

func TestNotes(t *testing.T) {
	for _, test := range []struct{ policy, workload, want string }{
		{"p", "web Warn:probes", "This Deployment would be let in with a warning if it were created now. Policy p, probes: spec.x is not set: it is wrong. Fix: write it right."},
		{
			"Namespace/shop", "web Enforce:podSecurity! Warn:a Warn:b",
			"This Deployment would be refused if it were created now. The labels of the namespace, podSecurity: spec.x is not set: it is wrong. Fix: write it right. There are 2 more findings.",
		},
	} {
		s := found(time.Unix(1000, 0), test.workload)
		for i := range s.Workloads[0].Findings {
			s.Workloads[0].Findings[i].Policy = test.policy
		}
		list := (&news{counts: forOwners}).of(s)
		if got := note(&list[0]); got != test.want {
			t.Errorf("got %s\nwant %s", got, test.want)
		}
	}
}

func TestEventsAreNotRepeated(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newStore()
	e := newTestEvents(s)
	tell := func(what string, events *Events, want int, workloads ...string) {
		t.Helper()
		before := len(s.order)
		if err := events.Tell(t.Context(), found(now, workloads...)); err != nil {
			t.Fatal(err)
		}
		if got := len(s.order) - before; got != want {
			t.Errorf("%s: got %d new events, want %d", what, got, want)
		}
	}
	tell("first", e, 2, "web Enforce:images!", "db Warn:probes")
	for range 100 {
		now = now.Add(10 * time.Minute)
		tell("the same", e, 0, "web Enforce:images!", "db Warn:probes")
	}
	if s.writes != 2 {
		t.Errorf("got %d writes, want 2: the same is not even tried", s.writes)
	}
	tell("one more finding", e, 1, "web Enforce:images! Enforce:digests!", "db Warn:probes")
	tell("another replica, which knows nothing", newTestEvents(s), 1, "web Enforce:images! Enforce:digests!", "db Warn:probes")
	clear(s.events) // an hour is over
	now = now.Add(23 * time.Hour)
	tell("a day after the first", e, 1, "web Enforce:images! Enforce:digests!", "db Warn:probes")
}

// TestEventsAreBounded holds a cluster where everything is wrong to its Events, however
// often it is scanned, and that each workload gets its own in the end.
func TestEventsAreBounded(t *testing.T) {
	var workloads []string
	for i := range 1000 {
		workloads = append(workloads, fmt.Sprintf("w%d Warn:probes", i))
	}
	workloads = append(workloads, "worst Enforce:images!")
	s := newStore()
	e := newTestEvents(s)
	begin := time.Unix(1_000_000, 0)
	tell := func(after time.Duration, want int) {
		t.Helper()
		if err := e.Tell(t.Context(), found(begin.Add(after), workloads...)); err != nil {
			t.Fatal(err)
		}
		if len(s.order) != want || int(testutil.ToFloat64(e.metrics.events.WithLabelValues("written"))) != want {
			t.Errorf("after %s: got %d events, want %d, and a counter that says so", after, len(s.order), want)
		}
		if got := int(testutil.ToFloat64(e.metrics.eventsWaiting)); got != len(workloads)-want {
			t.Errorf("after %s: got %d waiting, want %d", after, got, len(workloads)-want)
		}
	}
	tell(0, 200)
	if first := s.events[s.order[0]]; first.Regarding.Name != "worst" {
		t.Errorf("got the first event on %s, want it on what would be refused", first.Regarding.Name)
	}
	for i := range 30 {
		tell(time.Duration(i+1)*time.Second, 200+(i+1)/3)
	}
	for i := range 4 {
		tell(time.Duration(i+2)*10*time.Minute, min(200*(i+2)+10, 1001))
	}
}

func TestEventErrors(t *testing.T) {
	events := schema.GroupResource{Group: "events.k8s.io", Resource: "events"}
	terminating := apierrors.NewForbidden(events, "", errors.New("it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	many := []string{"a Warn:x", "b Warn:x", "c Warn:x", "d Warn:x", "e Warn:x"}
	for _, test := range []struct {
		name    string
		err     error
		writes  int
		waiting int
		failed  bool
	}{
		{"no right", apierrors.NewForbidden(events, "", errors.New("no")), 3, 5, true},
		{"the namespace goes", terminating, 5, 0, false},
		{"the namespace is gone", apierrors.NewNotFound(events, ""), 5, 0, false},
	} {
		s := newStore()
		s.fail = fmt.Errorf("creating an object: %w", test.err)
		e := newTestEvents(s)
		err := e.Tell(t.Context(), found(time.Unix(1000, 0), many...))
		if waiting := int(testutil.ToFloat64(e.metrics.eventsWaiting)); s.writes != test.writes || (err != nil) != test.failed || waiting != test.waiting {
			t.Errorf("%s: got %d writes, %d waiting, error %v, want %d, %d, any: %t", test.name, s.writes, waiting, err, test.writes, test.waiting, test.failed)
		}
		s.fail = nil
		if err := e.Tell(t.Context(), found(time.Unix(1100, 0), many...)); err != nil || len(s.order) != test.waiting {
			t.Errorf("%s: got %d events and error %v once it is over, want %d", test.name, len(s.order), err, test.waiting)
		}
	}
}

// TestHostileNotes holds that nobody's object makes an Event that the API server
// refuses or that a terminal obeys (T37, T69 of the threats).
func TestHostileNotes(t *testing.T) {
	long := strings.Repeat("x", 253)
	for name, r := range map[string]report.Result{
		"control characters": {Container: "a\x1b[2Jb", Field: "spec\x00.x", Value: "\x1b]0;title\x07\r\nfake: line\u202e", Message: "a\nb", Fix: "\x9b31m"},
		"markup":             {Value: "<script>alert(1)</script>", Message: "<img src=x onerror=alert(1)>"},
		"long names":         {Container: long, Field: "spec." + strings.Repeat(long, 20), Message: long, Fix: long},
		"long characters":    {Message: strings.Repeat("\u00e9\u4e16\U0001f600", 500)},
		"no text":            {Message: "\xff\xfe" + strings.Repeat("\xf0", 2000)},
		"a large value":      {Value: map[string]any{"a": strings.Repeat(long, 500)}, Message: "m"},
	} {
		r.Policy, r.Rule, r.Check, r.Mode, r.Result = long, "podSecurity", "privileged", "Enforce", report.Fail
		s := found(time.Unix(1000, 0), "web Enforce:x! Enforce:y!")
		s.Workloads[0].Name, s.Workloads[0].UID = long, strings.Repeat("f", 36)
		s.Workloads[0].Findings = append(s.Workloads[0].Findings, r)
		s.Workloads[0].Findings[0].Rule, s.Workloads[0].Findings[1].Rule = "zz", "zz" // after the hostile one
		s.Workloads[0].Findings[0].Policy, s.Workloads[0].Findings[1].Policy = "zz", "zz"
		store := newStore()
		if err := newTestEvents(store).Tell(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		e := store.events[store.order[0]]
		bad := slices.IndexFunc([]rune(e.Note), func(r rune) bool { return !unicode.IsPrint(r) })
		if len(e.Note) > 1024 || !utf8.ValidString(e.Note) || bad >= 0 || !strings.HasSuffix(e.Note, "There are 2 more findings.") {
			t.Errorf("%s: got a note of %d bytes, the first character that is not printable at %d: %q", name, len(e.Note), bad, e.Note)
		}
		if problems := validation.IsDNS1123Subdomain(e.Name); len(problems) > 0 || !regexp.MustCompile(`^portcullis-[0-9a-f]{24}$`).MatchString(e.Name) {
			t.Errorf("%s: got name %q, %v", name, e.Name, problems)
		}
	}
}

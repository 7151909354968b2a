package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-dev/portcullis/report"
)

const (
	// eventsAgain is after how long the Event of a workload that still has the same
	// findings is written again. An API server keeps Events for an hour.
	eventsAgain = 24 * time.Hour
	// eventsBurst is how many Events a scan writes at most, and eventsEvery how soon
	// there is room for one more. So a replica leaves at most 1400 in an hour, whatever
	// the cluster looks like and however often it is scanned.
	eventsBurst = 200
	eventsEvery = 3 * time.Second
	// maxEventErrors ends the Events of a scan: what may not be written is not tried
	// two hundred times.
	maxEventErrors = 3
)

// The reasons of Events, and what Portcullis was doing.
const (
	// ReasonRefused: the workload would be refused if it were created now.
	ReasonRefused = "PolicyViolation"
	// ReasonWarned: it would be let in with a warning.
	ReasonWarned = "PolicyWarning"

	eventAction     = "Audit"
	eventController = "portcullis.dev/audit"
)

// maxNote is how many bytes the note of an Event may have
// (https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/core/validation/events.go, NoteLengthLimit).
const maxNote = 1 << 10

// EventWriter creates objects in a cluster.
type EventWriter interface {
	Create(ctx context.Context, path string, object []byte) error
}

// Create creates the object of a list. One that is there already is not changed,
// which the error says.
func (c *Client) Create(ctx context.Context, path string, object []byte) error {
	if err := c.rest.Post().AbsPath(path).Body(object).Do(ctx).Error(); err != nil {
		return fmt.Errorf("creating an object in %s: %w", path, err)
	}
	return nil
}

// Events tells the owners of workloads what a scan has found, by Events on the
// workloads, which kubectl describe shows. It is not safe for concurrent use.
//
// It does without the recorder of client-go: that takes a second Event with another
// note for a repetition of the first one, and does not say what it could not write.
// The name of an Event here is made of what it says, so that another replica, which
// does not know what this one has written, does not write it again.
type Events struct {
	writer   EventWriter
	instance string
	metrics  *Metrics
	limit    *rate.Limiter
	news     news
}

// NewEvents makes what writes Events in the name of an instance: that of the pod.
func NewEvents(w EventWriter, instance string, m *Metrics) *Events {
	return &Events{
		writer: w, instance: instance, metrics: m, limit: rate.NewLimiter(rate.Every(eventsEvery), eventsBurst),
		news: news{again: eventsAgain, counts: forOwners},
	}
}

// forOwners are findings that would refuse the workload or warn about it. Mode Audit
// is for those who read reports, and the owner hears nothing of it at admission either.
func forOwners(r *report.Result) bool {
	return (r.Result == report.Fail || r.Result == report.Warn) && r.Mode != "Audit"
}

// Tell writes Events about what is new in a scan. What there is no room for is left
// to the scans that follow. The error is that of an Event; the rest is tried until
// three of them could not be written.
func (e *Events) Tell(ctx context.Context, s *Scan) error {
	list := e.news.of(s)
	var errs []error
	waiting := 0
	for i := range list {
		f := &list[i]
		if len(errs) == maxEventErrors || ctx.Err() != nil || !e.limit.AllowN(s.Started, 1) {
			waiting = len(list) - i
			break
		}
		err := e.write(ctx, f, s.Started)
		switch {
		case err == nil:
			e.metrics.events.WithLabelValues("written").Inc()
		case apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			// Another replica has told it, or there is nobody to tell.
		default:
			e.metrics.events.WithLabelValues("failed").Inc()
			errs = append(errs, err)
			continue
		}
		e.news.tell(f, s.Started)
	}
	e.metrics.eventsWaiting.Set(float64(waiting + len(errs)))
	return errors.Join(errs...)
}

func (e *Events) write(ctx context.Context, f *fresh, now time.Time) error {
	event := e.event(f, now)
	data, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encoding an Event on %s %q: %w", f.Kind.Name, f.Name, err)
	}
	return e.writer.Create(ctx, collectionPath("events.k8s.io", "v1", "events", f.Namespace), data)
}

func (e *Events) event(f *fresh, now time.Time) *eventsv1.Event {
	apiVersion := f.Kind.Version
	if f.Kind.Group != "" {
		apiVersion = f.Kind.Group + "/" + apiVersion
	}
	event := &eventsv1.Event{
		TypeMeta:            metav1.TypeMeta{APIVersion: "events.k8s.io/v1", Kind: "Event"},
		ObjectMeta:          metav1.ObjectMeta{Namespace: f.Namespace, Name: eventName(f)},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: eventController, ReportingInstance: e.instance, Action: eventAction,
		Regarding: corev1.ObjectReference{APIVersion: apiVersion, Kind: f.Kind.Name, Namespace: f.Namespace, Name: f.Name, UID: types.UID(f.UID)},
		Type:      corev1.EventTypeWarning, Reason: ReasonWarned, Note: note(f),
	}
	if f.Findings[0].Result == report.Fail {
		event.Reason = ReasonRefused
	}
	return event
}

// eventName is the same for the same news about the same workload.
func eventName(f *fresh) string {
	h := sha256.New()
	h.Write([]byte(f.UID))
	for i := range f.Findings {
		var id [8]byte
		binary.BigEndian.PutUint64(id[:], findingID(&f.Findings[i]))
		h.Write(id[:])
	}
	return "portcullis-" + hex.EncodeToString(h.Sum(nil)[:12])
}

// note says the worst in words, and the rest in numbers.
func note(f *fresh) string {
	worst := &f.Findings[0]
	would := "be let in with a warning"
	if worst.Result == report.Fail {
		would = "be refused"
	}
	by := "Policy " + worst.Policy
	if strings.HasPrefix(worst.Policy, labelPolicy) {
		by = "The labels of the namespace"
	}
	text := fmt.Sprintf("This %s would %s if it were created now. %s, %s.", f.Kind.Name, would, by, report.Brief(*worst))
	rest := ""
	if more := len(f.Findings) - 1 + f.Others; more == 1 {
		rest = " There is 1 more finding."
	} else if more > 1 {
		rest = fmt.Sprintf(" There are %d more findings.", more)
	}
	return cut(text, maxNote-len(rest)) + rest
}

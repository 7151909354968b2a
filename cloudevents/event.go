package cloudevents

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The types of events.
const (
	// FindingsNew: a scan has found something about a workload that the one before
	// had not.
	FindingsNew = "dev.portcullis.findings.new"
	// ExceptionEnding: an exception ends within --exception-warning.
	ExceptionEnding = "dev.portcullis.exception.ending"
	// ExceptionEnded: an exception does not exempt from anything any more.
	ExceptionEnded = "dev.portcullis.exception.ended"
	// PolicyInvalid: the newest version of a policy of the cluster is not in force.
	PolicyInvalid = "dev.portcullis.policy.invalid"
	// BreakGlassUsed: somebody was let in who would have been refused.
	BreakGlassUsed = "dev.portcullis.breakglass.used"
	// RegistrationChanged: somebody has changed which requests are judged.
	RegistrationChanged = "dev.portcullis.registration.changed"
)

// Types are those of events, which are labels of the metric.
func Types() []string {
	return []string{FindingsNew, ExceptionEnding, ExceptionEnded, PolicyInvalid, BreakGlassUsed, RegistrationChanged}
}

// MaxBytes bounds an event, since whatever passes events on has to take so much and
// may refuse more (CloudEvents 1.0.2, section Size Limits).
const MaxBytes = 64 << 10

// Event is what has happened.
type Event struct {
	// Type is one of Types.
	Type string
	// Subject is what it is about: namespaces/shop/Deployment/web.
	Subject string
	// Key tells it from other events of the same type about the same subject. What
	// is told twice with the same key has the same id, so that a receiver can leave
	// the second one out.
	Key string
	// Data is the rest, as it is to be in JSON.
	Data any
}

// envelope is the JSON of an event
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
type envelope struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            any       `json:"data"`
}

// encode is the event as it is sent.
func (e *Event) encode(source string, now time.Time) ([]byte, error) {
	sum := sha256.Sum256([]byte(e.Type + "\x00" + e.Subject + "\x00" + e.Key))
	data, err := json.Marshal(envelope{
		SpecVersion: "1.0", ID: hex.EncodeToString(sum[:16]), Source: source, Type: e.Type, Subject: attribute(e.Subject),
		Time: now.UTC().Truncate(time.Millisecond), DataContentType: "application/json", Data: e.Data,
	}, json.Deterministic(true), jsontext.EscapeForHTML(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encoding event %s about %q: %w", e.Type, e.Subject, err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("encoding event %s about %q: it has %d bytes, and %d are the most", e.Type, e.Subject, len(data), MaxBytes)
	}
	return data, nil
}

// attribute leaves out of a text what the attributes of an event may not have:
// control characters.
func attribute(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

package audit

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/report"
)

const (
	// alertsBurst is how many events a scan makes at most, one for each workload, and
	// alertsEvery how soon there is room for one more.
	alertsBurst = 100
	alertsEvery = 6 * time.Second
	// maxAlertFindings and maxAlertText bound one event.
	maxAlertFindings = 5
	maxAlertText     = 400
)

// Alerts tells a sink what a scan has found that the one before had not. It is not
// safe for concurrent use.
type Alerts struct {
	sink  *cloudevents.Sink
	limit *rate.Limiter
	news  news
	begun bool
}

// NewAlerts makes what tells a sink.
func NewAlerts(sink *cloudevents.Sink) *Alerts {
	return &Alerts{sink: sink, limit: rate.NewLimiter(rate.Every(alertsEvery), alertsBurst), news: news{counts: isFinding}}
}

// isFinding are findings of all modes: the sink is the admin's.
func isFinding(r *report.Result) bool { return r.Result == report.Fail || r.Result == report.Warn }

// Tell has events made about what is new in a scan. The first scan of a process
// knows no other one: knew tells whether a finding was there before it, as far as the
// reports in the cluster say. What there is no room for is left to the scans that
// follow.
func (a *Alerts) Tell(s *Scan, knew func(*report.Result) bool) {
	list := a.news.of(s)
	for i := range list {
		f := &list[i]
		if !a.begun {
			f.Findings = unknown(f.Findings, knew)
		}
		if len(f.Findings) > 0 {
			if !a.limit.AllowN(s.Started, 1) {
				if a.begun {
					return
				}
				continue // it is not told, and not known either: the next scan has it
			}
			a.sink.Send(alert(f))
		}
		a.news.tell(f, s.Started)
	}
	a.begun = true
}

func unknown(findings []report.Result, knew func(*report.Result) bool) []report.Result {
	var rest []report.Result
	for i := range findings {
		if !knew(&findings[i]) {
			rest = append(rest, findings[i])
		}
	}
	return rest
}

// newFindings is the data of an event about a workload.
type newFindings struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Pods are those that the workload stands for.
	Pods int `json:"pods"`
	// Findings are the worst of the new ones, New how many there are, and Known how
	// many the workload had before.
	Findings []alertFinding `json:"findings"`
	New      int            `json:"new"`
	Known    int            `json:"known"`
}

// alertFinding is a finding as report.Result has it, with bounded texts.
type alertFinding struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	Check  string `json:"check"`
	Mode   string `json:"mode"`
	Result string `json:"result"`

	Container string `json:"container"`
	Field     string `json:"field"`
	Value     string `json:"value,omitempty"`
	Message   string `json:"message"`
	Fix       string `json:"fix"`
	// Text has all of it in one line, without control characters.
	Text string `json:"text"`
}

func alert(f *fresh) cloudevents.Event {
	data := newFindings{
		Kind: f.Kind.Name, Namespace: f.Namespace, Name: f.Name, UID: f.UID, Pods: f.Pods, New: len(f.Findings), Known: len(f.all) - len(f.Findings),
	}
	var key strings.Builder
	key.WriteString(f.UID)
	for i := range f.Findings {
		r := &f.Findings[i]
		fmt.Fprintf(&key, " %x", findingID(r))
		if i >= maxAlertFindings {
			continue
		}
		found := alertFinding{
			Policy: r.Policy, Rule: r.Rule, Check: r.Check, Mode: r.Mode, Result: string(r.Result), Container: r.Container,
			Field: cut(r.Field, maxAlertText), Message: cut(r.Message, maxAlertText), Fix: cut(r.Fix, maxAlertText), Text: cut(report.Brief(*r), 2*maxAlertText),
		}
		if r.Value != nil {
			found.Value = engine.Quote(r.Value)
		}
		data.Findings = append(data.Findings, found)
	}
	return cloudevents.Event{
		Type: cloudevents.FindingsNew, Subject: "namespaces/" + f.Namespace + "/" + f.Kind.Name + "/" + f.Name, Key: key.String(), Data: data,
	}
}

// cut bounds a text, in bytes.
func cut(text string, room int) string {
	const end = "..."
	if len(text) <= room {
		return text
	}
	return strings.ToValidUTF8(text[:room-len(end)], "") + end
}

package webhook

import (
	"context"
	"time"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/policies"
)

const (
	// exceptionAlertInterval is how often the ends of exceptions are compared with the
	// time.
	exceptionAlertInterval = 15 * time.Second
	// exceptionAlertPast is how long after its end an exception is still told about by a
	// replica that begins to lead then. The event has the same id as the one of the
	// replica before. One that has seen it before its end tells however late it is: the
	// clock may have been set, or have stood still with the machine.
	exceptionAlertPast = 10 * time.Minute
)

// exceptionAlerts tells a sink when exceptions are about to end, and when they have
// ended, each once.
type exceptionAlerts struct {
	set     func() *policies.Set
	sink    *cloudevents.Sink
	warning time.Duration
	now     func() time.Time

	told map[exceptionAlert]bool
	// ahead are the ends that were to come when they were looked at last.
	ahead map[exceptionAlert]bool
}

// exceptionAlert is what is told once: a later end is told about again.
type exceptionAlert struct {
	typ, namespace, name string
	end                  time.Time
}

// endOfException is the data of an event about an exception.
type endOfException struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Owner     string    `json:"owner"`
	Reason    string    `json:"reason"`
	Ticket    string    `json:"ticket,omitempty"`
	Ends      time.Time `json:"ends"`
}

// lead tells until ctx ends.
func (a *exceptionAlerts) lead(ctx context.Context) {
	a.told = map[exceptionAlert]bool{}
	ticker := time.NewTicker(exceptionAlertInterval)
	defer ticker.Stop()
	for {
		a.tell()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (a *exceptionAlerts) tell() {
	set := a.set()
	if set == nil {
		return
	}
	now, current, ahead := a.now(), map[exceptionAlert]bool{}, map[exceptionAlert]bool{}
	for _, e := range set.Exceptions() {
		end, counts := e.LastEnd()
		if next, comes := e.NextEnd(now); comes {
			end = next // one that names several policies is ending before each of its ends, as its status says
		}
		left := end.Sub(now)
		about := exceptionAlert{cloudevents.ExceptionEnded, e.Namespace, e.Name, end}
		if counts && left > 0 {
			ahead[about] = true
		}
		switch {
		case !counts, left < -exceptionAlertPast && !a.ahead[about] && !a.told[about], left > 0 && left >= a.warning:
			continue
		case left > 0:
			about.typ = cloudevents.ExceptionEnding
		}
		current[about] = true
		if a.told[about] {
			continue
		}
		a.sink.Send(cloudevents.Event{
			Type: about.typ, Subject: "namespaces/" + e.Namespace + "/PolicyException/" + e.Name, Key: end.UTC().Format(time.RFC3339),
			Data: endOfException{e.Namespace, e.Name, e.Owner, e.Reason, e.Ticket, end.UTC()},
		})
	}
	a.told, a.ahead = current, ahead // what is gone is forgotten
}

// Package presence keeps a note in the cluster of when Portcullis was there to judge.
//
// Where the API server lets requests through that no webhook answers, what is created
// while none does runs unjudged, and afterwards looks as if it had been allowed: the
// scan of what runs would find it among what was there before the policy. Its authors
// cannot be asked, and what they write is theirs to choose. So replicas that could
// judge say so in a Lease, in a namespace that tenants do not write to, together with
// what was in force; where nobody said so for a while is a gap.
package presence

import (
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

const (
	// DefaultInterval is how often a note is made.
	DefaultInterval = 5 * time.Second
	// missed is how many intervals without a note are a gap.
	missed = 2
	// maxGaps and maxGapBytes bound what is kept: of more, the oldest goes. An object
	// takes 256 KiB of annotations.
	maxGaps     = 32
	maxGapBytes = 64 << 10
)

// The annotations of the Lease.
const (
	policiesAnnotation = "portcullis.dev/policies"
	gapsAnnotation     = "portcullis.dev/gaps"
)

// Gap is a time in which nobody noted to be there.
type Gap struct {
	// From is the last note before it, Until the first one after it.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Open says that there is no note after it yet, and Until is now.
	Open bool `json:"-"`
	// Policies stand for what the policies in force at From said, by name.
	Policies map[string]string `json:"policies"`
}

// Covers reports whether an object was created in the gap. Times of objects are in
// whole seconds; one of the second in which the gap begins came before it.
func (g *Gap) Covers(created time.Time) bool {
	return !created.Before(g.From) && !created.After(g.Until)
}

// note is what the Lease says.
type note struct {
	renewed time.Time // zero: never
	// interval is how often notes were made then, zero for not known.
	interval time.Duration
	policies map[string]string
	gaps     []Gap
}

func read(lease *coordinationv1.Lease) (n note, err error) {
	if lease.Spec.RenewTime != nil {
		n.renewed = lease.Spec.RenewTime.Time
	}
	if lease.Spec.LeaseDurationSeconds != nil {
		n.interval = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second / missed
	}
	for name, into := range map[string]any{policiesAnnotation: &n.policies, gapsAnnotation: &n.gaps} {
		text := lease.Annotations[name]
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return note{}, fmt.Errorf("reading annotation %q of Lease %q: %w", name, lease.Namespace+"/"+lease.Name, err)
		}
	}
	return n, nil
}

// since is the gap from the last note to a time, nil where that is no gap. How often
// notes were made the Lease says; interval counts where it does not.
func (n *note) since(now time.Time, interval time.Duration) *Gap {
	if n.interval > 0 {
		interval = n.interval
	}
	if n.renewed.IsZero() || now.Sub(n.renewed) <= missed*interval {
		return nil
	}
	return &Gap{From: n.renewed.UTC(), Until: now.UTC(), Open: true, Policies: n.policies}
}

// write puts the note into the Lease.
func (n *note) write(lease *coordinationv1.Lease) error {
	n.gaps = n.gaps[max(0, len(n.gaps)-maxGaps):]
	gaps, err := json.Marshal(n.gaps)
	for err == nil && len(gaps) > maxGapBytes {
		n.gaps = n.gaps[1:]
		gaps, err = json.Marshal(n.gaps)
	}
	if err != nil {
		return fmt.Errorf("encoding gaps: %w", err)
	}
	policies, err := json.Marshal(n.policies)
	if err != nil {
		return fmt.Errorf("encoding the policies in force: %w", err)
	}
	if len(policies) > maxGapBytes/2 { // then no gap knows what was in force, and marks nothing
		policies = nil
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[policiesAnnotation], lease.Annotations[gapsAnnotation] = string(policies), string(gaps)
	return nil
}

// Package denials counts the requests that replicas refuse, for the reports.
//
// A refusal is told to whoever asked, and a controller that asks again and again tells
// nobody: the Deployment that never gets its pods looks like any other, and the API
// server's audit log, where it stands, is seldom read by who could mend it. Writing
// something for each refusal, though, would let any tenant fill etcd at the speed of
// his requests. So refusals are counted in memory, in a table of bounded size, and each
// replica adds its counts to one object of bounded size once a minute.
package denials

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// ObjectKey is the key of the ConfigMap that has the counts.
	ObjectKey = "denied.json"
	// maxEntries bounds the table of a replica and that of the object. Of more, those
	// seen last are kept.
	maxEntries = 500
	// maxBytes bounds the object. etcd takes 1.5 MiB.
	maxBytes = 256 << 10
	// maxText bounds one text, in bytes: names are longer only in requests that nobody
	// has validated yet.
	maxText = 128
	// kept is how long a refusal is told.
	kept = 7 * 24 * time.Hour
)

// Denial is what is counted together.
type Denial struct {
	Namespace string `json:"namespace"`
	// Kind and Name are those of the object, or of the controller that asked for a pod.
	// Name is what generateName begins with where there is no name.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// User is who asked: user, serviceAccount, controller (of Kubernetes), node or
	// system.
	User   string `json:"user"`
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	Check  string `json:"check"`
}

// Count is how often, and when.
type Count struct {
	Denial
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// UserClass is the User of a name.
func UserClass(name string) string {
	switch {
	case strings.HasPrefix(name, "system:serviceaccount:kube-system:"), strings.HasPrefix(name, "system:kube-controller-manager"):
		return "controller"
	case strings.HasPrefix(name, "system:serviceaccount:"):
		return "serviceAccount"
	case strings.HasPrefix(name, "system:node:"):
		return "node"
	case strings.HasPrefix(name, "system:"):
		return "system"
	}
	return "user"
}

// bounded has all texts cut.
func (d Denial) bounded() Denial {
	for _, text := range []*string{&d.Namespace, &d.Kind, &d.Name, &d.User, &d.Policy, &d.Rule, &d.Check} {
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "") + "..."
		}
	}
	return d
}

// Table counts in memory. It is safe for concurrent use, and its zero value is empty.
type Table struct {
	mutex  sync.Mutex
	counts map[Denial]Count
}

// Add counts one request. Where the table is full, the count of what was seen longest
// ago goes.
func (t *Table) Add(d Denial, at time.Time) {
	d = d.bounded()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.counts == nil {
		t.counts = map[Denial]Count{}
	}
	known, ok := t.counts[d]
	if !ok && len(t.counts) >= maxEntries {
		oldest := d
		for other, count := range t.counts {
			if oldest == d || count.Last.Before(t.counts[oldest].Last) {
				oldest = other
			}
		}
		delete(t.counts, oldest)
	}
	if !ok {
		known = Count{Denial: d, First: at.UTC().Truncate(time.Second)}
	}
	known.Count++
	known.Last = at.UTC().Truncate(time.Second)
	t.counts[d] = known
}

// take empties the table.
func (t *Table) take() []Count {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	all := slices.Collect(maps.Values(t.counts))
	t.counts = nil
	return all
}

// giveBack takes counts in again that nobody took.
func (t *Table) giveBack(counts []Count) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	merged := merge(counts, slices.Collect(maps.Values(t.counts)))
	t.counts = map[Denial]Count{}
	for _, c := range merged[:min(len(merged), maxEntries)] {
		t.counts[c.Denial] = c
	}
}

// merge adds counts up, those seen last first.
func merge(a, b []Count) []Count {
	sums := map[Denial]Count{}
	for _, c := range slices.Concat(a, b) {
		sum, ok := sums[c.Denial]
		if !ok {
			sums[c.Denial] = c
			continue
		}
		sum.Count += c.Count
		if c.First.Before(sum.First) {
			sum.First = c.First
		}
		if c.Last.After(sum.Last) {
			sum.Last = c.Last
		}
		sums[c.Denial] = sum
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b Count) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Check, b.Check), cmp.Compare(a.User, b.User))
	})
}

// decode reads the object. What somebody has written into it is bounded too.
func decode(text string) ([]Count, error) {
	if text == "" {
		return nil, nil
	}
	var counts []Count
	if err := json.Unmarshal([]byte(text), &counts); err != nil {
		return nil, fmt.Errorf("decoding refused requests: %w", err)
	}
	for i := range counts {
		counts[i].Denial = counts[i].bounded()
	}
	return counts[:min(len(counts), maxEntries)], nil
}

// encode writes what is young enough and fits.
func encode(counts []Count, now time.Time) (string, error) {
	counts = slices.DeleteFunc(slices.Clone(counts), func(c Count) bool { return now.Sub(c.Last) > kept })
	counts = counts[:min(len(counts), maxEntries)]
	for {
		data, err := json.Marshal(counts)
		if err != nil {
			return "", fmt.Errorf("encoding refused requests: %w", err)
		}
		if len(data) <= maxBytes {
			return string(data), nil
		}
		counts = counts[:len(counts)*3/4]
	}
}

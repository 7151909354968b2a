package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// store is a cluster that keeps reports.
type store struct {
	served  []string // groups
	objects map[string]map[string]any
	version int
	writes  []string
	fail    error
}

func (s *store) Serves(_ context.Context, group, _, _ string) (bool, error) {
	return slices.Contains(s.served, group), nil
}

func (s *store) Apply(_ context.Context, path string, object []byte) (string, error) {
	if s.fail != nil {
		return "", s.fail
	}
	var o map[string]any
	if err := json.Unmarshal(object, &o); err != nil {
		return "", err
	}
	s.version++
	o["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(s.version)
	s.objects[path] = o
	s.writes = append(s.writes, "apply "+path)
	return fmt.Sprint(s.version), nil
}

func (s *store) Delete(_ context.Context, path string) error {
	delete(s.objects, path)
	s.writes = append(s.writes, "delete "+path)
	return nil
}

func (s *store) Page(ctx context.Context, p Page) (io.ReadCloser, error) {
	l := &lists{objects: map[string][]string{}}
	resource := p.Path[strings.LastIndexByte(p.Path, '/')+1:]
	for path, o := range s.objects {
		if !strings.Contains(path, "/"+resource+"/") {
			continue
		}
		if p.MetadataOnly {
			o = map[string]any{"metadata": o["metadata"]}
		}
		data, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		l.objects[p.Path] = append(l.objects[p.Path], string(data))
	}
	return l.Page(ctx, p)
}

func (s *store) take() []string {
	writes := s.writes
	s.writes = nil
	slices.Sort(writes)
	return writes
}

// scanOf is a scan with a Deployment in each namespace that has so many findings.
func scanOf(at time.Time, findings map[string]int) *Scan {
	s := &Scan{Started: at}
	for namespace, n := range findings {
		j := &Judgement{Matched: true}
		for i := range n {
			j.Findings = append(j.Findings, report.Result{Policy: "p", Rule: "r", Mode: "Enforce", Result: report.Fail, Field: fmt.Sprintf("spec[%d]", i)})
		}
		kinds := pod.Kinds()
		s.Workloads = append(s.Workloads, Workload{Kind: kinds[3], Namespace: namespace, Name: "web", Judgement: j})
	}
	return s
}

const (
	clusterPath = "/apis/openreports.io/v1alpha1/clusterreports/portcullis"
	shopPath    = "/apis/openreports.io/v1alpha1/namespaces/shop/reports/portcullis"
	billingPath = "/apis/openreports.io/v1alpha1/namespaces/billing/reports/portcullis"
)

func TestReportsAreKept(t *testing.T) {
	s := &store{served: []string{"openreports.io", "wgpolicyk8s.io"}, objects: map[string]map[string]any{}}
	r := &Reports{Writer: s, Worst: 5}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keep := func(what string, findings map[string]int, want ...string) {
		t.Helper()
		written, err := r.Keep(t.Context(), scanOf(now, findings))
		if diff := cmp.Diff(want, s.take()); diff != "" || err != nil || written != len(want) {
			t.Errorf("%s: %d written, error %v (-want +got):\n%s", what, written, err, diff)
		}
	}
	keep("first", map[string]int{"shop": 2, "billing": 7}, "apply "+clusterPath, "apply "+billingPath, "apply "+shopPath)
	now = now.Add(time.Hour)
	keep("the same", map[string]int{"shop": 2, "billing": 7})
	keep("one more", map[string]int{"shop": 3, "billing": 7}, "apply "+clusterPath, "apply "+shopPath)
	if got := firstSeenOf(s.objects[shopPath]); got != "2026-01-02T03:04:05Z 2026-01-02T03:04:05Z 2026-01-02T04:04:05Z" {
		t.Errorf("got first seen at %s, want two findings of before and one of now", got)
	}
	s.objects[shopPath]["metadata"].(map[string]any)["resourceVersion"] = "forged"
	keep("somebody has written", map[string]int{"shop": 3, "billing": 7}, "apply "+shopPath)
	delete(s.objects, shopPath)
	keep("somebody has deleted", map[string]int{"shop": 3, "billing": 7}, "apply "+shopPath)
	now = now.Add(24 * time.Hour)
	keep("the next day", map[string]int{"shop": 3, "billing": 7}, "apply "+clusterPath, "apply "+billingPath, "apply "+shopPath)

	r = &Reports{Writer: s, Worst: 5}
	keep("another leader", map[string]int{"shop": 3, "billing": 7}, "apply "+clusterPath, "apply "+billingPath, "apply "+shopPath)
	if got := firstSeenOf(s.objects[billingPath]); strings.Count(got, "2026-01-02T03:04:05Z") != 5 {
		t.Errorf("got first seen at %s, want what the former leader has seen", got)
	}
	if got := s.objects[billingPath]["metadata"].(map[string]any)["annotations"].(map[string]any)["portcullis.dev/findings-left-out"]; got != "2" {
		t.Errorf("got %v findings left out, want 2 of 7", got)
	}
	partial := scanOf(now, map[string]int{"billing": 7})
	partial.Problems = []Problem{{What: "deployments.apps", Err: errors.New("forbidden")}}
	if _, err := r.Keep(t.Context(), partial); err != nil || s.objects[shopPath] == nil {
		t.Errorf("got %v, want the report on what was not seen to stay", err)
	}
	s.take()
	keep("nothing is left in shop", map[string]int{"billing": 7}, "delete "+shopPath)
}

func firstSeenOf(object map[string]any) string {
	var all []string
	for _, r := range object["results"].([]any) {
		all = append(all, r.(map[string]any)["properties"].(map[string]any)["first-seen"].(string))
	}
	return strings.Join(all, " ")
}

func TestReportsWithoutAPI(t *testing.T) {
	s := &store{objects: map[string]map[string]any{}}
	r := &Reports{Writer: s, Worst: 5}
	if _, err := r.Keep(t.Context(), scanOf(time.Now(), map[string]int{"shop": 1})); !errors.Is(err, ErrNoAPI) {
		t.Errorf("got %v, want ErrNoAPI", err)
	}
	s.served = []string{"wgpolicyk8s.io"}
	if written, err := r.Keep(t.Context(), scanOf(time.Now(), map[string]int{"shop": 1})); err != nil || written != 2 {
		t.Errorf("with PolicyReports: got %d written, %v, want 2", written, err)
	}
	s.fail = errors.New("away")
	if _, err := r.Keep(t.Context(), scanOf(time.Now(), map[string]int{"shop": 2})); err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("got %v, want what went wrong", err)
	}
}

// TestReportsOfAPart has a list fail once: what it would have had was first seen when it
// was.
func TestReportsOfAPart(t *testing.T) {
	cluster := &store{served: []string{"openreports.io"}, objects: map[string]map[string]any{}}
	r := &Reports{Writer: cluster, Worst: 200}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for hour, findings := range []int{2, 0, 2} {
		scan := scanOf(begin.Add(time.Duration(hour)*time.Hour), map[string]int{"shop": findings})
		if findings == 0 {
			scan.Problems = []Problem{{What: "deployments.apps", Err: errors.New("it does not answer")}}
		}
		if _, err := r.Keep(t.Context(), scan); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.known[shopPath].firstSeen); got != 2 {
		t.Fatalf("got %d findings, want 2", got)
	}
	for id, at := range r.known[shopPath].firstSeen {
		if !at.Equal(begin) {
			t.Errorf("%s: got first seen %s, want %s", id, at, begin)
		}
	}
}

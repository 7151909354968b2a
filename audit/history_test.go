package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-dev/portcullis/report"
)

// oneConfigMap is the ConfigMap of a history; nil: there is none.
type oneConfigMap struct {
	*corev1.ConfigMap
	writes int
}

func (c *oneConfigMap) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.ConfigMap, error) {
	if c.ConfigMap == nil || name != c.Name {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return c.DeepCopy(), nil
}

func (c *oneConfigMap) Update(_ context.Context, m *corev1.ConfigMap, _ metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	c.writes++
	c.ConfigMap = m.DeepCopy()
	return m, nil
}

func historyOf(m *corev1.ConfigMap) (*History, *oneConfigMap) {
	c := &oneConfigMap{ConfigMap: m}
	return &History{c, types.NamespacedName{Namespace: "portcullis-system", Name: HistoryName}}, c
}

func emptyHistory() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: HistoryName, Labels: map[string]string{"a": "b"}}}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestHistoryIsWrittenWhenFiguresChange(t *testing.T) {
	h, c := historyOf(emptyHistory())
	for _, step := range []struct {
		name            string
		after           time.Duration
		denied          int
		writes, figures int
	}{
		{"the first", 0, 3, 1, 1},
		{"the same again", 10 * time.Minute, 3, 1, 1},
		{"another number", 20 * time.Minute, 4, 2, 1},
		{"the same again", 50 * time.Minute, 4, 2, 1},
		{"another hour", 60 * time.Minute, 4, 3, 2},
		{"the hour before, of a clock that is behind", 30 * time.Minute, 4, 4, 1},
	} {
		got, err := h.Add(t.Context(), report.Figures{Time: noon.Add(step.after), Workloads: 9, Denied: step.denied})
		if err != nil {
			t.Fatal(err)
		}
		if c.writes != step.writes || len(got) != step.figures || got[len(got)-1].Denied != step.denied {
			t.Errorf("%s: got %d writes and figures %+v, want %d writes and %d figures", step.name, c.writes, got, step.writes, step.figures)
		}
	}
	if c.Labels["a"] != "b" {
		t.Error("a label of somebody else is gone")
	}
}

// TestHistoryIsBounded scans every half an hour for a hundred days, by another replica
// every time.
func TestHistoryIsBounded(t *testing.T) {
	_, c := historyOf(emptyHistory())
	var last []report.Figures
	var at time.Time
	for i := range 2 * 24 * 100 {
		h, _ := historyOf(nil)
		h.ConfigMaps = c
		at = noon.Add(time.Duration(i) * 30 * time.Minute)
		f := report.Figures{Time: at, Workloads: 1_000_000 + i, Denied: 1_000_000, Warned: 1_000_000, Findings: 1_000_000, Exempt: 1_000_000, Unseen: 100}
		var err error
		if last, err = h.Add(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	size := len(c.Data[historyKey])
	t.Logf("%d figures in %d bytes, from %s to %s", len(last), size, last[0].Time, last[len(last)-1].Time)
	if len(last) > 140 || size > 20<<10 {
		t.Errorf("got %d figures in %d bytes, want at most 140 in 20 KiB", len(last), size)
	}
	// The newest of each day that is kept, and no day left out.
	days := map[string]int{}
	for i, f := range last {
		age := at.Sub(f.Time)
		if age > keepHours+day {
			days[f.Time.Format(time.DateOnly)]++
			if f.Time.Format("15:04") != "23:30" {
				t.Errorf("got %s for its day, want the last scan of it", f.Time)
			}
		}
		if i > 0 && age < keepHours && f.Time.Sub(last[i-1].Time) > time.Hour {
			t.Errorf("got nothing between %s and %s", last[i-1].Time, f.Time)
		}
	}
	if len(days) < 86 {
		t.Errorf("got %d days, want one figure of each", len(days))
	}
	for date, count := range days {
		if count != 1 {
			t.Errorf("%s: got %d figures, want one", date, count)
		}
	}
}

func TestHistoryOfSomebodyElse(t *testing.T) {
	many := strings.Repeat(`{"time":"2026-11-20T12:00:00Z","workloads":1},`, 5000)
	for name, text := range map[string]string{
		"no JSON": "hello", "another type": `{"time": 1}`, "no time": `[{"workloads": 3}]`, "less than none": `[{"time": "2026-11-20T12:00:00Z", "denied": -4}]`,
		"too many": "[" + strings.TrimSuffix(many, ",") + "]",
	} {
		m := emptyHistory()
		m.Data = map[string]string{historyKey: text, "other": "kept"}
		h, c := historyOf(m)
		got, err := h.Add(t.Context(), report.Figures{Time: noon, Denied: 1})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []report.Figures{{Time: noon, Denied: 1}}
		if name == "too many" {
			want = append([]report.Figures{{Time: noon.Add(-24 * time.Hour), Workloads: 1}}, want...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if c.Data["other"] != "kept" {
			t.Errorf("%s: got %v, want other keys kept", name, c.Data)
		}
	}
}

func TestHistoryWithoutConfigMap(t *testing.T) {
	h, _ := historyOf(nil)
	if _, err := h.Add(t.Context(), report.Figures{Time: noon}); !errors.Is(err, ErrNoHistory) || err.Error() != "reading ConfigMap portcullis-system/portcullis-audit: there is no such ConfigMap" {
		t.Errorf("got %v, want that there is none", err)
	}
}

// TestFigures requires that the headline numbers are those of the report.
func TestFigures(t *testing.T) {
	s := sampleScan()
	f, a := s.Figures(), s.Report()
	denied, warned := 0, 0
	for _, n := range a.Namespaces {
		denied += n.Denied
		warned += n.Warned
	}
	want := report.Figures{
		Time: noon.Add(2 * time.Second), Workloads: a.Summary.Objects, Denied: denied, Warned: warned,
		Findings: a.Summary.Fail + a.Summary.Warn, Exempt: a.Summary.Exempt, Unseen: len(a.Unseen),
	}
	if diff := cmp.Diff(want, f); diff != "" || f.Denied == 0 || f.Warned == 0 || f.Exempt == 0 || f.Unseen == 0 {
		t.Errorf("figures %+v (-want +got):\n%s", f, diff)
	}
}

// sampleScan has a workload of each kind of outcome.
func sampleScan() *Scan {
	s := &Scan{Started: noon, Took: 2 * time.Second, Problems: []Problem{{"jobs.batch", "", errors.New("forbidden")}}}
	exempt := report.Result{Policy: "p", Rule: "podSecurity", Check: "hostPorts", Mode: "Enforce", Result: report.Skip, Exemption: &report.Exemption{Exception: "portcullis-system/x"}}
	for i, findings := range [][]report.Result{
		{{Policy: "p", Rule: "podSecurity", Check: "privileged", Mode: "Enforce", Result: report.Fail, Message: "forbidden", Fix: "set it to false"}, {Policy: "p", Rule: "registries", Mode: "Warn", Result: report.Warn}},
		{{Policy: "p", Rule: "registries", Mode: "Warn", Result: report.Warn}},
		{exempt},
		{{Policy: "p", Rule: "rootUser", Mode: "Enforce", Result: report.Skip}},
		nil,
	} {
		s.Workloads = append(s.Workloads, Workload{
			Namespace: "shop", Name: fmt.Sprintf("web-%d", i), UID: fmt.Sprint(i), Pods: 1,
			Judgement: &Judgement{Matched: true, Findings: findings, Policies: []string{"p"}},
		})
	}
	return s
}

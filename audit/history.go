package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/report"
)

// HistoryName is the name of the ConfigMap that keeps figures of former scans.
const HistoryName = "portcullis-audit"

// historyKey is where in the ConfigMap they are.
const historyKey = "figures.json"

// Figures of each hour are kept for two days, and of each day for ninety: at most 140
// in less than 20 KiB.
const (
	keepHours = 48 * time.Hour
	keepDays  = 90 * 24 * time.Hour
	// maxFigures bounds what is read, whoever wrote it.
	maxFigures = 200
)

// ErrNoHistory says that the ConfigMap is not there. It is part of the installation,
// since a right to create cannot be limited to a name.
var ErrNoHistory = errors.New("there is no such ConfigMap")

// ConfigMaps reads and writes the ConfigMap of a History.
type ConfigMaps interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, m *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// History keeps the figures of scans in a ConfigMap, so that they outlive the replica
// that scans.
type History struct {
	// ConfigMaps are those of the namespace. Required.
	ConfigMaps ConfigMaps
	// ConfigMap is its name, for messages too. Required.
	ConfigMap types.NamespacedName
}

// NewHistory returns the history of an installation in a namespace.
func NewHistory(config *rest.Config, namespace string) (*History, error) {
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &History{core.ConfigMaps(namespace), types.NamespacedName{Namespace: namespace, Name: HistoryName}}, nil
}

// Read returns the figures by time. What cannot be read as figures is none. The error
// is ErrNoHistory without a ConfigMap.
func (h *History) Read(ctx context.Context) ([]report.Figures, error) {
	m, err := h.get(ctx)
	if err != nil {
		return nil, err
	}
	return figuresOf(m), nil
}

// Add adds the figures of a scan and returns all of them. It writes once an hour, and
// when figures differ from those of the scan before. On an error the returned ones
// are nil, and nothing is written.
func (h *History) Add(ctx context.Context, f report.Figures) ([]report.Figures, error) {
	m, err := h.get(ctx)
	if err != nil {
		return nil, err
	}
	before := figuresOf(m)
	after := addFigures(before, f)
	if sameFigures(before, after) {
		return after, nil
	}
	data, err := json.Marshal(after)
	if err != nil {
		return nil, fmt.Errorf("encoding figures: %w", err)
	}
	if m.Data == nil {
		m.Data = map[string]string{}
	}
	m.Data[historyKey] = string(data)
	if _, err := h.ConfigMaps.Update(ctx, m, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		return nil, fmt.Errorf("writing ConfigMap %s: %w", h.ConfigMap, err)
	}
	return after, nil
}

func (h *History) get(ctx context.Context) (*corev1.ConfigMap, error) {
	m, err := h.ConfigMaps.Get(ctx, h.ConfigMap.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading ConfigMap %s: %w", h.ConfigMap, ErrNoHistory)
	case err != nil:
		return nil, fmt.Errorf("reading ConfigMap %s: %w", h.ConfigMap, err)
	}
	return m, nil
}

// figuresOf reads what a ConfigMap has. Somebody may have written into it: figures
// that there cannot be are left out.
func figuresOf(m *corev1.ConfigMap) []report.Figures {
	var all []report.Figures
	if err := json.Unmarshal([]byte(m.Data[historyKey]), &all); err != nil {
		return nil
	}
	all = slices.DeleteFunc(all, func(f report.Figures) bool {
		return f.Time.IsZero() || min(f.Workloads, f.Denied, f.Warned, f.Findings, f.Exempt, f.Unseen) < 0
	})
	slices.SortStableFunc(all, func(a, b report.Figures) int { return a.Time.Compare(b.Time) })
	return all[max(0, len(all)-maxFigures):]
}

// addFigures adds the figures of the newest scan, in the place of those of the same
// hour, and thins out what is old: of a day that is over the last figures stay.
func addFigures(all []report.Figures, f report.Figures) []report.Figures {
	f.Time = f.Time.UTC().Truncate(time.Second)
	kept := make([]report.Figures, 0, len(all)+1)
	for i, one := range all {
		next := f
		if i+1 < len(all) && all[i+1].Time.Before(f.Time) {
			next = all[i+1]
		}
		age := f.Time.Sub(one.Time)
		slot := time.Hour
		if age > keepHours {
			slot = day
		}
		switch {
		case age <= 0: // of a clock that was ahead
		case age > keepDays:
		case one.Time.Truncate(slot).Equal(next.Time.Truncate(slot)):
		default:
			kept = append(kept, one)
		}
	}
	return append(kept, f)
}

// sameFigures reports whether nothing is new but the time within the hour.
func sameFigures(before, after []report.Figures) bool {
	if len(before) != len(after) {
		return false
	}
	last := len(after) - 1
	a, b := before[last], after[last]
	sameHour := a.Time.Truncate(time.Hour).Equal(b.Time.Truncate(time.Hour))
	a.Time = b.Time
	return sameHour && a == b && slices.Equal(before[:last], after[:last])
}

// Figures are the headline numbers of the scan, as its report has them.
func (s *Scan) Figures() report.Figures {
	f := report.Figures{
		Time: s.Started.Add(s.Took).UTC(), Workloads: len(s.Workloads), Unseen: len(s.Problems) + s.MoreProblems,
	}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		switch w.worst() {
		case report.Fail:
			f.Denied++
		case report.Warn:
			f.Warned++
		}
		for j := range w.Findings {
			switch {
			case w.Findings[j].Exemption != nil:
				f.Exempt++
			case w.Findings[j].Result != report.Skip:
				f.Findings++
			}
		}
	}
	return f
}

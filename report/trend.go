package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figures are the headline numbers of one scan, by the policies that were in force
// then.
type Figures struct {
	// Time is when the scan was complete.
	Time time.Time `json:"time"`
	// Workloads are all; Denied and Warned are those of the NamespaceCounts.
	Workloads int `json:"workloads"`
	Denied    int `json:"denied"`
	Warned    int `json:"warned"`
	// Findings are failures and warnings, Exempt those that exceptions exempt.
	Findings int `json:"findings"`
	Exempt   int `json:"exempt"`
	// Unseen is how much could not be listed or read: with any, the other numbers are
	// of a part of the cluster.
	Unseen int `json:"unseen"`
}

// pageTrend is how the figures of scans have changed. Lines are in a square of 100,
// which the page stretches.
type pageTrend struct {
	Span, Description string
	First, Last       string
	Top, Middle       string     // of the axis
	Lines, Keys       []pageLine // as they are drawn, and as they are read
	Rows              []pageFigures
}

type (
	pageLine    struct{ Class, Label, Points string }
	pageFigures struct {
		Time                                        string
		Workloads, Denied, Warned, Findings, Exempt int
		Note                                        string
	}
)

// chartUnits is the width and the height of the chart in its own units.
const chartUnits = 100.0

// pageTrendOf is nil for less than two scans, which show no trend.
func pageTrendOf(figures []Figures) *pageTrend {
	figures = slices.Clone(figures)
	slices.SortStableFunc(figures, func(a, b Figures) int { return a.Time.Compare(b.Time) })
	if len(figures) < 2 || !figures[0].Time.Before(figures[len(figures)-1].Time) {
		return nil
	}
	first, last := figures[0], figures[len(figures)-1]
	top := 1
	for _, f := range figures {
		top = max(top, f.Denied, f.Warned)
	}
	top += top % 2 // the middle of the axis is a number of workloads too
	t := &pageTrend{
		Span: span(last.Time.Sub(first.Time)), First: trendTime(first.Time), Last: trendTime(last.Time),
		Top: strconv.Itoa(top), Middle: strconv.Itoa(top / 2),
		Description: fmt.Sprintf("From %d denied and %d warned of %s on %s to %d and %d of %d on %s.",
			first.Denied, first.Warned, plural(first.Workloads, "workload"), trendTime(first.Time),
			last.Denied, last.Warned, last.Workloads, trendTime(last.Time)),
	}
	lines := []struct {
		class string
		value func(Figures) int
	}{
		{"warned", func(f Figures) int { return f.Warned }},
		{"denied", func(f Figures) int { return f.Denied }}, // above the other
	}
	for _, l := range lines {
		var points []string
		for _, f := range figures {
			x := chartUnits * float64(f.Time.Sub(first.Time)) / float64(last.Time.Sub(first.Time))
			y := chartUnits - chartUnits*float64(l.value(f))/float64(top)
			points = append(points, fmt.Sprintf("%.2f,%.2f", x, y))
		}
		t.Lines = append(t.Lines, pageLine{l.class, fmt.Sprintf("%s, now %d", l.class, l.value(last)), strings.Join(points, " ")})
	}
	t.Keys = slices.Clone(t.Lines)
	slices.Reverse(t.Keys)
	for _, f := range slices.Backward(figures) {
		row := pageFigures{trendTime(f.Time), f.Workloads, f.Denied, f.Warned, f.Findings, f.Exempt, ""}
		if f.Unseen > 0 {
			row.Note = "of a part of the cluster"
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func trendTime(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// span is how long a trend is, rounded to hours or days.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return plural(int(d.Round(24*time.Hour)/(24*time.Hour)), "day")
	case d >= time.Hour:
		return plural(int(d.Round(time.Hour)/time.Hour), "hour")
	}
	return plural(max(1, int(d.Round(time.Minute)/time.Minute)), "minute")
}

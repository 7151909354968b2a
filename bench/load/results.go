package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// results are all figures of a run.
type results struct {
	measurements []*measurement
	ready        time.Duration // of portcullis; 0 where it was not measured
	// registryRequests came while the cache was meant to be warm.
	registryRequests int64
}

// failed reports whether an answer was missing or wrong.
func (r *results) failed() bool {
	return slices.ContainsFunc(r.measurements, func(m *measurement) bool { return m.errors+m.wrong > 0 })
}

func (r *results) find(cell string, clients int) *measurement {
	for _, m := range r.measurements {
		if m.cell == cell && m.clients == clients {
			return m
		}
	}
	return nil
}

func (r *results) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\ncell\tclients\trequests\terrors\twrong\tCPU ms/request\tx floor\trounds\tp50 ms\tp99 ms\tpeak MiB\t")
	for _, m := range r.measurements {
		ratio, spread := "-", "-"
		if floor := r.find(floorCell, m.clients); floor != nil {
			ratio = fmt.Sprintf("%.2f", m.perRequest()/floor.perRequest())
			spread = m.spread(floor)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%.3f\t%s\t%s\t%.2f\t%.2f\t%.1f\t\n",
			m.cell, m.clients, m.requests, m.errors, m.wrong, m.perRequest(), ratio, spread,
			m.percentile(.50).Seconds()*1000, m.percentile(.99).Seconds()*1000, mebibytes(m.memory))
	}
	table.Flush()
	fmt.Fprintln(w)
	if r.ready > 0 {
		fmt.Fprintf(w, "portcullis was ready %v after its start; %d requests reached the registry after the warm-up\n",
			r.ready.Round(time.Millisecond), r.registryRequests)
	}
	for _, m := range r.measurements {
		if m.example != nil {
			fmt.Fprintf(w, "first error or wrong answer with %d clients: %v\n", m.clients, m.example)
		}
	}
}

// spread is the least and the greatest ratio to the floor of single rounds.
func (m *measurement) spread(floor *measurement) string {
	var ratios []float64
	for i := range m.rounds {
		ratios = append(ratios, m.rounds[i].Seconds()/floor.rounds[i].Seconds())
	}
	return fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios))
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// bar is a figure and what it may be at most.
type bar struct {
	text      string
	got, most float64
	unit      string
}

func (b bar) met() bool { return b.got <= b.most }

// The bars.
const (
	maxValidate = 1.25 // times the floor's processor time
	maxMutate   = 1.75 // likewise
	maxAll      = 2.0  // likewise, for each of the two with everything on
	maxReady    = 2.0  // seconds
	maxMemory   = 64.0 // MiB
)

// bars are those that the cells of the run can tell about.
func (r *results) bars() []bar {
	var bars []bar
	memory := 0.0
	for _, m := range r.measurements {
		floor, psa := r.find(floorCell, m.clients), r.find(psaCell, m.clients)
		clients := fmt.Sprintf(", clients: %d", m.clients)
		most := 0.0
		switch m.cell {
		case validateCell:
			most = maxValidate
			if psa != nil {
				bars = append(bars, bar{"validate, against the PSA webhook" + clients, m.perRequest(), psa.perRequest(), "ms/request"})
			}
		case mutateCell:
			most = maxMutate
		case repairCell, judgeCell:
			most = maxAll
		default:
			continue
		}
		memory = max(memory, mebibytes(m.memory))
		if floor != nil {
			bars = append(bars, bar{m.cell + ", against the floor" + clients, m.perRequest() / floor.perRequest(), most, "x"})
		}
	}
	if r.ready > 0 {
		bars = append(bars, bar{"ready after start", r.ready.Seconds(), maxReady, "s"})
	}
	if memory > 0 {
		bars = append(bars, bar{"resident memory at most", memory, maxMemory, "MiB"})
	}
	return bars
}

// printBars reports whether one is missed.
func printBars(w io.Writer, bars []bar) (missed bool) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range bars {
		verdict := "PASS"
		if !b.met() {
			verdict, missed = "MISS", true
		}
		fmt.Fprintf(table, "%s\t%s\t%.3f %s\tat most %.3f\n", verdict, b.text, b.got, b.unit, b.most)
	}
	table.Flush()
	return missed
}

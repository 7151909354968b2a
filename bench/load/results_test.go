package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBars(t *testing.T) {
	measured := func(cell string, cpu time.Duration, memory int64) *measurement {
		return &measurement{
			cell: cell, clients: 1, tally: tally{requests: 1000, latencies: []time.Duration{time.Millisecond}},
			rounds: []time.Duration{cpu / 2, cpu / 2}, memory: memory,
		}
	}
	r := results{ready: 3 * time.Second, measurements: []*measurement{
		measured(floorCell, 200*time.Millisecond, 90<<20),
		measured(psaCell, 300*time.Millisecond, 90<<20),
		measured(validateCell, 250*time.Millisecond, 64<<20),
		measured(mutateCell, 360*time.Millisecond, 64<<20),
	}}
	var b strings.Builder
	if missed := printBars(&b, r.bars()); !missed {
		t.Error("got no bar missed, want some")
	}
	want := `PASS  validate, against the PSA webhook, clients: 1  0.250 ms/request  at most 0.300
PASS  validate, against the floor, clients: 1        1.250 x           at most 1.250
MISS  mutate, against the floor, clients: 1          1.800 x           at most 1.750
MISS  ready after start                              3.000 s           at most 2.000
PASS  resident memory at most                        64.000 MiB        at most 64.000
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("bars (-want +got):\n%s", diff)
	}
}

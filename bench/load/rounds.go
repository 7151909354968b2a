package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

// measurement is a cell under a number of clients.
type measurement struct {
	cell    string
	clients int
	tally
	rounds []time.Duration // processor time in each round
	memory int64           // most resident so far, in bytes
}

func (m *measurement) cpu() (total time.Duration) {
	for _, round := range m.rounds {
		total += round
	}
	return total
}

// perRequest is the processor time of one request, in milliseconds.
func (m *measurement) perRequest() float64 {
	return m.cpu().Seconds() * 1000 / float64(m.requests)
}

// percentile of the latencies, which are sorted.
func (m *measurement) percentile(p float64) time.Duration {
	return m.latencies[min(int(p*float64(len(m.latencies))), len(m.latencies)-1)]
}

// run warms every cell up and then measures them.
func (b *bench) run(ctx context.Context, all []reviews.Review, progress io.Writer) (*results, error) {
	r := &results{}
	for _, p := range b.processes {
		if p.name == portcullisProcess {
			r.ready = p.ready
		}
	}
	for i := range b.cells {
		c := &b.cells[i]
		fmt.Fprintln(progress, "load: warming up", c.name)
		if c.name == judgeCell {
			var err error
			if c.reviews, err = b.repaired(ctx, all); err != nil {
				return nil, err
			}
		}
		warm := c.send(ctx, b.connections(8), c.ofAll(all))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if warm.example != nil {
			return nil, fmt.Errorf("warming up: %d errors and %d wrong answers, the first: %w", warm.errors, warm.wrong, warm.example)
		}
	}
	var before int64
	if b.registry != nil {
		before = b.registry.asked.Load()
	}
	for _, clients := range b.clients {
		fmt.Fprintf(progress, "load: %d rounds with %d clients\n", b.settings.rounds, clients)
		measured, err := b.measureCells(ctx, clients, all)
		if err != nil {
			return nil, err
		}
		r.measurements = append(r.measurements, measured...)
	}
	if b.registry != nil {
		r.registryRequests = b.registry.asked.Load() - before
	}
	return r, nil
}

func (b *bench) connections(n int) []*http.Client {
	clients := make([]*http.Client, n)
	for i := range clients {
		clients[i] = b.client()
	}
	return clients
}

// measureCells lets the cells take turns, each round starting with another.
func (b *bench) measureCells(ctx context.Context, clients int, all []reviews.Review) ([]*measurement, error) {
	measured := make([]*measurement, len(b.cells))
	connections := make([][]*http.Client, len(b.cells))
	for i, c := range b.cells {
		measured[i] = &measurement{cell: c.name, clients: clients}
		connections[i] = b.connections(clients)
		c.send(ctx, connections[i], c.ofAll(all)[:clients]) // the handshakes are not measured
	}
	for round := range b.settings.rounds {
		for turn := range b.cells {
			i := (round + turn) % len(b.cells)
			batch := part(b.cells[i].ofAll(all), round, b.settings)
			if err := measured[i].round(ctx, b.cells[i], connections[i], batch); err != nil {
				return nil, err
			}
		}
	}
	for i, m := range measured {
		slices.Sort(m.latencies)
		for _, client := range connections[i] {
			client.CloseIdleConnections()
		}
	}
	return measured, nil
}

// ofAll are the reviews that the cell gets.
func (c cell) ofAll(all []reviews.Review) []reviews.Review {
	if c.reviews != nil {
		return c.reviews
	}
	return all
}

// part is what is sent in a round: the reviews from where the round before ended,
// over again as often as it takes.
func part(all []reviews.Review, round int, s settings) []reviews.Review {
	begin, end := s.requests*round/s.rounds, s.requests*(round+1)/s.rounds
	batch := make([]reviews.Review, 0, end-begin)
	for i := begin; i < end; i++ {
		batch = append(batch, all[i%len(all)])
	}
	return batch
}

func (m *measurement) round(ctx context.Context, c cell, clients []*http.Client, batch []reviews.Review) error {
	before, err := c.server.cpu()
	if err != nil {
		return err
	}
	m.add(c.send(ctx, clients, batch))
	if err := ctx.Err(); err != nil {
		return err
	}
	after, err := c.server.cpu()
	if err != nil {
		return err
	}
	m.rounds = append(m.rounds, after-before)
	m.memory, err = c.server.memory()
	return err
}

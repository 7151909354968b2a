package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

// tally is what clients saw.
type tally struct {
	requests, errors, wrong int
	latencies               []time.Duration
	example                 error // the first error or wrong answer
}

func (t *tally) add(o tally) {
	t.requests += o.requests
	t.errors += o.errors
	t.wrong += o.wrong
	t.latencies = append(t.latencies, o.latencies...)
	if t.example == nil {
		t.example = o.example
	}
}

// send posts reviews from several clients, each on a connection of its own that
// stays open from round to round.
func (c cell) send(ctx context.Context, clients []*http.Client, batch []reviews.Review) tally {
	var next atomic.Int64
	var group sync.WaitGroup
	parts := make([]tally, len(clients))
	for i, client := range clients {
		group.Go(func() {
			part := &parts[i]
			part.latencies = make([]time.Duration, 0, len(batch)/len(clients)+1)
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(batch) {
					return
				}
				c.sendOne(ctx, client, batch[n], part)
			}
		})
	}
	group.Wait()
	var all tally
	for _, part := range parts {
		all.add(part)
	}
	return all
}

func (c cell) sendOne(ctx context.Context, client *http.Client, r reviews.Review, t *tally) {
	begin := time.Now()
	body, err := c.post(ctx, client, r.Body)
	t.latencies = append(t.latencies, time.Since(begin))
	t.requests++
	var a answer
	if err == nil {
		a, err = decodeAnswer(r, body)
	}
	if err != nil {
		t.errors++
	} else if err = c.check(r, a); err != nil {
		t.wrong++
	}
	if err != nil && t.example == nil {
		t.example = fmt.Errorf("%s: %s, violates %q: %w", c.name, r.Kind, r.Violates, err)
	}
}

// post sends what an API server sends.
func (c cell) post(ctx context.Context, client *http.Client, review []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(review))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, */*")
	request.Header.Set("User-Agent", "kube-apiserver-admission")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got status %s: %s", response.Status, body)
	}
	return body, nil
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portcullis-dev/portcullis/cloudevents"
)

func TestAlertFlags(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no address", []string{"--cloudevents-ca-file=ca.crt"}, `reading --cloudevents-ca-file "ca.crt": it is for --cloudevents-url, which is missing`},
		{
			"no address for a file",
			[]string{"--cloudevents-url=https://sink.example", "--cloudevents-authorization-file=/none"},
			"reading --cloudevents-url and what belongs to it: reading the authorization for the sink: open /none: no such file or directory",
		},
		{
			"no address of a sink",
			[]string{"--cloudevents-url=sink.example"},
			"reading --cloudevents-url and what belongs to it: reading the address of the sink: want https://HOST/PATH",
		},
	} {
		got := execute(t, "", append([]string{"serve", "--kubeconfig=testdata/none"}, test.args...)...)
		if got.code != 2 || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%s: got exit code %d and %q, want 2 and %q", test.name, got.code, got.stderr, test.want)
		}
	}
}

// TestDelivering holds that what happens until the end of serve is delivered, though
// its context has ended before, and that the error of serve is the one that counts.
func TestDelivering(t *testing.T) {
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(server.Close)
	sink, err := cloudevents.New(cloudevents.Options{URL: server.URL, Source: "/test", Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := errors.New("ended")
	err = delivering(ctx, sink, func() error {
		sink.Send(cloudevents.Event{Type: cloudevents.PolicyInvalid, Subject: "PodPolicy/p"})
		return ended
	})
	if !errors.Is(err, ended) || seen.Load() != 1 {
		t.Errorf("got error %v and %d events, want that of serve and 1", err, seen.Load())
	}
	if err := delivering(ctx, nil, func() error { return ended }); !errors.Is(err, ended) {
		t.Errorf("without a sink: got error %v, want that of serve", err)
	}
}

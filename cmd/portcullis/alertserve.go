package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/portcullis-dev/portcullis/cloudevents"
)

// alertFlags say whom serve tells what somebody should know now.
type alertFlags struct {
	url           string
	source        string
	ca            string
	authorization string
}

func (f *alertFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "cloudevents-url", "", "`address` that CloudEvents are posted to: https, or http inside the cluster (default: none are sent)")
	flags.StringVar(&f.source, "cloudevents-source", "/portcullis", "`URI reference` that is the source of CloudEvents; name the cluster by it where one sink has several")
	flags.StringVar(&f.ca, "cloudevents-ca-file", "", "`file` of the authority, in PEM, that the certificate of --cloudevents-url is signed by (default: those of the system)")
	flags.StringVar(&f.authorization, "cloudevents-authorization-file", "", "`file` with the value of the header Authorization, which is read again each time")
}

// sink makes what takes events, nil where nobody does.
func (f *alertFlags) sink(log *slog.Logger) (*cloudevents.Sink, error) {
	if f.url == "" {
		for _, needs := range []struct{ flag, file string }{{"--cloudevents-ca-file", f.ca}, {"--cloudevents-authorization-file", f.authorization}} {
			if needs.file != "" {
				return nil, fmt.Errorf("reading %s %q: it is for --cloudevents-url, which is missing", needs.flag, needs.file)
			}
		}
		return nil, nil
	}
	sink, err := cloudevents.New(cloudevents.Options{
		URL: f.url, Source: f.source, CAFile: f.ca, AuthorizationFile: f.authorization, Registry: ctrlmetrics.Registry, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("reading --cloudevents-url and what belongs to it: %w", err)
	}
	return sink, nil
}

// delivering runs serve beside the sink, which goes on until serve has ended: what
// happens while it drains is told too.
func delivering(ctx context.Context, sink *cloudevents.Sink, serve func() error) error {
	if sink == nil {
		return serve()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sink.Run(ctx)
	}()
	err := serve()
	cancel()
	<-ended
	return err
}

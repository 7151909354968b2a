package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/presence"
)

// heartbeatFlags name the Lease in which replicas note that they are there.
type heartbeatFlags struct {
	lease string
	// interval is that of serve.
	interval time.Duration
}

func (f *heartbeatFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.lease, "heartbeat-lease", "portcullis-system/portcullis-heartbeat", "`namespace/name` of the Lease in which replicas note that they are there")
}

// minHeartbeat keeps replicas from writing all the time.
const minHeartbeat = time.Second

func (f *heartbeatFlags) check() error {
	if f.interval != 0 && f.interval < minHeartbeat {
		return fmt.Errorf("reading --heartbeat %s: want at least %s, or 0", f.interval, minHeartbeat)
	}
	return nil
}

// gaps reads when nobody was there, none where replicas do not note it.
func (f *heartbeatFlags) gaps(config *rest.Config) (func(context.Context) ([]presence.Gap, error), error) {
	lease, err := namespacedName("--heartbeat-lease", f.lease)
	if err != nil {
		return nil, err
	}
	client, err := presence.Connect(config)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]presence.Gap, error) {
		return presence.Gaps(ctx, client, lease, f.interval)
	}, nil
}

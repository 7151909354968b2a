package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/denials"
)

// deniedFlags name the ConfigMap in which replicas count what they refused.
type deniedFlags struct {
	object string
	// interval is that of serve.
	interval time.Duration
}

func (f *deniedFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.object, "denied", "portcullis-system/portcullis-denied", "`namespace/name` of the ConfigMap in which replicas count the requests that they refused")
}

// parse reads --denied, empty for no counting.
func (f *deniedFlags) parse() (types.NamespacedName, error) {
	if f.interval == 0 {
		return types.NamespacedName{}, nil
	}
	if f.interval < time.Second {
		return types.NamespacedName{}, fmt.Errorf("reading --denied-interval %s: want at least 1s, or 0", f.interval)
	}
	return namespacedName("--denied", f.object)
}

// read returns what reads the counts.
func (f *deniedFlags) read(config *rest.Config) (func(context.Context) ([]denials.Count, error), error) {
	object, err := f.parse()
	if err != nil || object.Name == "" {
		return nil, err
	}
	client, err := denials.Connect(config)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]denials.Count, error) { return denials.Read(ctx, client, object) }, nil
}

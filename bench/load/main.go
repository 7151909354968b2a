// Load measures what an admission review costs Portcullis, side by side in one
// run with the least it could cost and with what upstream's webhook costs.
//
//	floor     a bare net/http handler: decode with encoding/json, evaluate, answer
//	psa       k8s.io/pod-security-admission/cmd/webhook
//	validate  portcullis serve, /validate, with the preset restricted
//	mutate    portcullis serve, /mutate, with every tag in the digest cache
//	mutate-all, validate-all
//	          portcullis serve with everything.yaml: all mutators, the checks that
//	          go with them, and what images say in the cache; validate-all gets
//	          the objects as mutate-all has left them
//
// Each is a process of its own with the same certificate, and gets the same
// reviews over TLS with keep-alive, as an API server sends them. The figure that
// counts is the processor time of the server, as Linux accounts it, since the
// time of an answer depends on what else the machine does. The cells take turns
// round by round, so that noise hits all of them; ratios are those of sums.
// Every answer is checked.
//
// KUBEBUILDER_ASSETS has to name a folder with etcd and kube-apiserver; `make
// controlplane` prints one.
//
//	go run ./bench/load
//	go run ./bench/load --only floor,validate --clients 1 --requests 20000
//
// The exit code is 1 where an answer is wrong or missing, or with --enforce where
// a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags.
type settings struct {
	requests, rounds, objects int
	seed                      uint64
	clients                   []int
	only                      []string
	portcullis                string
	limit                     time.Duration
	enforce                   bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "load:", err)
		}
		return 2
	}
	// What the client side spends on garbage is of no interest here.
	debug.SetGCPercent(400)
	result, err := measure(ctx, s, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	result.print(stdout)
	missed := printBars(stdout, result.bars())
	if result.failed() || missed && s.enforce {
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{clients: []int{1, 8}, only: cellNames()}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.requests, "requests", 8000, "requests for each cell and number of clients")
	flags.IntVar(&s.rounds, "rounds", 4, "rounds in which the requests are sent, the cells taking turns")
	flags.IntVar(&s.objects, "objects", 1000, "Pods, and as many Deployments, that the reviews are of")
	flags.Uint64Var(&s.seed, "seed", 1, "seed of the objects")
	flags.StringVar(&s.portcullis, "portcullis", "", "`binary` to measure (default: built from this tree)")
	flags.DurationVar(&s.limit, "limit", 3*time.Minute, "time after which a run fails, builds not counted")
	flags.BoolVar(&s.enforce, "enforce", false, "exit with 1 where a bar is missed")
	flags.Func("clients", "`numbers` of clients at a time (default 1,8)", func(v string) (err error) {
		s.clients = nil
		for part := range strings.SplitSeq(v, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("got %q, want numbers above 0", part)
			}
			s.clients = append(s.clients, n)
		}
		return nil
	})
	flags.Func("only", "`cells` to measure (default "+strings.Join(cellNames(), ",")+")", func(v string) error {
		s.only = strings.Split(v, ",")
		for _, name := range s.only {
			if !slices.Contains(cellNames(), name) {
				return fmt.Errorf("got %q, want some of %s", name, strings.Join(cellNames(), ","))
			}
		}
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("got argument %q, want flags only", flags.Arg(0))
	}
	if s.rounds < 1 || s.requests < s.rounds || s.objects < 2 {
		return s, errors.New("--rounds, --requests of each round and --objects have to be above 0, 0 and 1")
	}
	return s, nil
}

// measure builds, starts, loads and stops everything.
func measure(ctx context.Context, s settings, stdout, progress io.Writer) (result *results, err error) {
	dir, err := os.MkdirTemp("", "portcullis-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	all, err := reviews.Generate(s.seed, s.objects)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(stdout, "%s, %s/%s, %d processors\n%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), sizes(all))
	fmt.Fprintln(progress, "load: building")
	binaries, err := build(ctx, dir, s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("the run took longer than --limit %v", s.limit))
	defer cancel()
	fmt.Fprintln(progress, "load: starting", strings.Join(s.only, ", "))
	b, err := newBench(ctx, dir, s, binaries)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	result, err = b.run(ctx, all, progress)
	return result, because(ctx, err)
}

// because is why ctx ended where it has, since all other errors come from that.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sizes says what the reviews are.
func sizes(all []reviews.Review) string {
	least, most, objects, bodies, violating := len(all[0].Object), 0, 0, 0, 0
	for _, r := range all {
		least, most = min(least, len(r.Object)), max(most, len(r.Object))
		objects += len(r.Object)
		bodies += len(r.Body)
		if r.Violates != "" {
			violating++
		}
	}
	return fmt.Sprintf("%d Pods and Deployments of %d bytes in the mean (%d to %d), %d with one violation; reviews of %d bytes in the mean",
		len(all), objects/len(all), least, most, violating, bodies/len(all))
}

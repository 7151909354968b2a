package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/portcullis-dev/portcullis/bench/reviews"
	"github.com/portcullis-dev/portcullis/e2e/freeport"
)

// The cells, in the order of the table.
const (
	floorCell    = "floor"
	psaCell      = "psa"
	validateCell = "validate"
	mutateCell   = "mutate"
	// The next two have everything switched on, see everything.yaml.
	repairCell = "mutate-all"
	judgeCell  = "validate-all"
)

func cellNames() []string {
	return []string{floorCell, psaCell, validateCell, mutateCell, repairCell, judgeCell}
}

// cell is one server at one path.
type cell struct {
	name   string
	url    string
	server *process
	// check says what is wrong with an answer.
	check func(reviews.Review, answer) error
	// reviews are what it gets, nil for those that all get.
	reviews []reviews.Review
}

// bench is everything that runs while it is measured.
type bench struct {
	settings
	dir         string
	binaries    binaries
	tls         *tls.Config
	environment *envtest.Environment // nil without cells that need one
	registry    *images              // likewise
	ports       freeport.Ports
	processes   []*process
	cells       []cell
	repair      cell // that with all mutators, whether it is measured or not
}

func newBench(ctx context.Context, dir string, s settings, programs binaries) (*bench, error) {
	b := &bench{settings: s, dir: dir, binaries: programs}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *bench) start(ctx context.Context) error {
	var err error
	if b.tls, err = writeCertificate(b.dir); err != nil {
		return err
	}
	if b.wants(psaCell) || b.wantsPortcullis() {
		if b.environment, err = startAPIServer(ctx, b.dir); err != nil {
			return err
		}
	}
	if b.wantsPortcullis() {
		if b.registry, err = startRegistry(b.dir); err != nil {
			return err
		}
	}
	if b.wants(floorCell) {
		if err := b.startFloor(ctx); err != nil {
			return err
		}
	}
	if b.wants(psaCell) {
		if err := b.startPSA(ctx); err != nil {
			return err
		}
	}
	if b.wantsPreset() {
		if err := b.startPortcullis(ctx); err != nil {
			return err
		}
	}
	if b.wantsEverything() {
		return b.startEverything(ctx)
	}
	return nil
}

func (s settings) wants(cell string) bool { return slices.Contains(s.only, cell) }

func (s settings) wantsPreset() bool { return s.wants(validateCell) || s.wants(mutateCell) }

func (s settings) wantsEverything() bool { return s.wants(repairCell) || s.wants(judgeCell) }

func (s settings) wantsPortcullis() bool { return s.wantsPreset() || s.wantsEverything() }

// stop ends what was started, in reverse order.
func (b *bench) stop() error {
	var errs []error
	for _, p := range slices.Backward(b.processes) {
		errs = append(errs, p.stop())
	}
	if b.registry != nil {
		b.registry.server.Close()
	}
	if b.environment != nil {
		errs = append(errs, b.environment.Stop())
	}
	return errors.Join(errs...)
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: b.tls.Clone(), DisableCompression: true}}
}

// launch starts a program and keeps it for stop.
func (b *bench) launch(ctx context.Context, c command) (*process, error) {
	c.dir, c.client = b.dir, b.client()
	p, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	b.processes = append(b.processes, p)
	return p, nil
}

func (b *bench) startFloor(ctx context.Context) error {
	port, err := b.ports.Next()
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + port
	p, err := b.launch(ctx, command{
		name: floorCell, path: b.binaries.floor, health: "https://" + address + "/readyz",
		args: []string{"--address", address, "--tls-cert-file", b.file("tls.crt"), "--tls-private-key-file", b.file("tls.key")},
	})
	if err != nil {
		return err
	}
	b.cells = append(b.cells, cell{name: floorCell, url: "https://" + address + validatePath, server: p, check: checkDenied})
	return nil
}

// psaConfig makes upstream judge templates too, which it never refuses.
const psaConfig = `apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: restricted, warn: restricted, audit: restricted}
`

func (b *bench) startPSA(ctx context.Context) error {
	port, err := b.ports.Next()
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.file("psa.yaml"), []byte(psaConfig), 0o600); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", psaCell, err)
	}
	address := "127.0.0.1:" + port
	p, err := b.launch(ctx, command{
		name: psaCell, path: b.binaries.psa, health: "https://" + address + "/readyz",
		args: []string{
			"--kubeconfig", b.file("kubeconfig"), "--config", b.file("psa.yaml"),
			"--bind-address", "127.0.0.1", "--secure-port", port,
			"--tls-cert-file", b.file("tls.crt"), "--tls-private-key-file", b.file("tls.key"),
		},
	})
	if err != nil {
		return err
	}
	b.cells = append(b.cells, cell{name: psaCell, url: "https://" + address + "/?timeout=10s", server: p, check: checkUpstream})
	return nil
}

// startPortcullis starts one process for both endpoints, as it is deployed.
func (b *bench) startPortcullis(ctx context.Context) error {
	p, address, err := b.serve(ctx, portcullisProcess, b.binaries.preset)
	if err != nil {
		return err
	}
	if b.wants(validateCell) {
		b.cells = append(b.cells, cell{name: validateCell, url: address + validatePath, server: p, check: checkDenied})
	}
	if b.wants(mutateCell) {
		b.cells = append(b.cells, cell{name: mutateCell, url: address + mutatePath, server: p, check: checkPinned(b.registry.pinned)})
	}
	return nil
}

const (
	portcullisProcess = "portcullis"
	validatePath      = "/validate?timeout=10s"
	mutatePath        = "/mutate?timeout=10s"
)

// serve starts portcullis with a policy and returns where it answers.
func (b *bench) serve(ctx context.Context, name, policy string) (*process, string, error) {
	port, err1 := b.ports.Next()
	health, err2 := b.ports.Next()
	if err := errors.Join(err1, err2); err != nil {
		return nil, "", err
	}
	address, healthAddress := "127.0.0.1:"+port, "127.0.0.1:"+health
	p, err := b.launch(ctx, command{
		name: name, path: b.binaries.portcullis, health: "http://" + healthAddress + "/readyz",
		args: []string{
			"serve", "--kubeconfig", b.file("kubeconfig"), "--policy", policy, "--registries", b.file("registries.yaml"),
			"--address", address, "--health-address", healthAddress, "--metrics-address", "0",
			"--cert-dir", b.dir, "--shutdown-delay", "0s", "--audit-address", "0",
		},
	})
	return p, "https://" + address, err
}

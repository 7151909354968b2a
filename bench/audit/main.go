// Command audit measures the scans of portcullis serve against an API server that
// only pretends to be one: it answers lists with generated pages, so that clusters of
// fifty thousand pods fit beside the process that is measured.
//
//	go run ./bench/audit -binary ./bin/portcullis
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("binary", "bin/portcullis", "portcullis `binary` to measure")
	sizes := flag.String("pods", "5000,20000,50000", "`numbers` of pods, ten to a workload and a hundred to a namespace")
	flag.Parse()
	dir, err := os.MkdirTemp("", "portcullis-bench-audit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		return err
	}
	fmt.Printf("%8s %10s %10s | %9s %9s %9s | %9s %9s | %8s | %9s %8s\n",
		"pods", "workloads", "MB listed", "full CPU", "requests", "us each", "steady", "requests", "peak RSS", "command", "peak RSS")
	for text := range strings.SplitSeq(*sizes, ",") {
		pods, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("reading -pods %q: %w", *sizes, err)
		}
		if err := measure(*binary, dir, pods); err != nil {
			return err
		}
	}
	return nil
}

// measure prints the figures for a cluster of so many pods.
func measure(binary, dir string, pods int) error {
	api := &apiServer{cluster: cluster{pods: pods, perWorkload: 10, workloadsPerNamespace: 10}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: api}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	text := "kind: Config\napiVersion: v1\nclusters: [{name: c, cluster: {server: 'http://" + listener.Addr().String() + "'}}]\n" +
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	workloads := pods / 10
	p, err := start(ctx, binary, dir, kubeconfig, pods+2*workloads, workloads)
	if err != nil {
		return err
	}
	idle := p.cpu()
	full, err := p.scan(ctx)
	if err != nil {
		defer p.stop()
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	requests, bytes := api.take()
	steady := time.Duration(1<<62 - 1)
	var steadyRequests int64
	for range 3 {
		before := p.cpu()
		if _, err := p.scan(ctx); err != nil {
			defer p.stop()
			return fmt.Errorf("%w\n%s", err, p.tail())
		}
		steady = min(steady, p.cpu()-before)
		steadyRequests, _ = api.take()
	}
	peak := p.peak()
	p.stop()
	command, err := audit(ctx, binary, dir, kubeconfig)
	if err != nil {
		return err
	}
	fmt.Printf("%8d %10d %10d | %8.1fs %9d %9.0f | %8.1fs %9d | %4d MiB | %8.1fs %4d MiB\n", pods, workloads, bytes>>20,
		(full - idle).Seconds(), requests, float64((full-idle).Microseconds())/float64(workloads), steady.Seconds(), steadyRequests, peak>>20,
		command.UserTime().Seconds()+command.SystemTime().Seconds(), command.SysUsage().(*syscall.Rusage).Maxrss>>10)
	return nil
}

// audit runs portcullis audit, with its readiness matrix for one version and the
// whole report as JSON.
func audit(ctx context.Context, binary, dir, kubeconfig string) (*os.ProcessState, error) {
	cmd := exec.CommandContext(ctx, binary, "audit", "--kubeconfig="+kubeconfig, "--policy="+filepath.Join(dir, "policy.yaml"), "--pod-security-version=latest", "--output=json")
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=" + dir}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running portcullis audit: %w: %s", err, stderr.String())
	}
	return cmd.ProcessState, nil
}

// prepare writes the certificate and the policy that serve needs.
func prepare(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	const policy = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: bench}\n" +
		"spec: {mode: Audit, validate: {podSecurity: {level: restricted}, registries: {allow: [registry.example.com/**]}, probes: {require: [readiness]}}}\n"
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(policy), 0o600),
	)
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portcullis-dev/portcullis/e2e/freeport"
)

// process is a portcullis serve that scans without a pause worth mentioning.
type process struct {
	cmd   *exec.Cmd
	scans chan time.Duration // processor time at the end of each scan
	want  string             // part of what each scan says of itself
	mutex sync.Mutex
	lines []string
}

// start starts one whose scans have to find so many workloads, and see everything.
func start(ctx context.Context, binary, dir, kubeconfig string, objects, workloads int) (*process, error) {
	var ports freeport.Ports
	port, err := ports.Next()
	if err != nil {
		return nil, err
	}
	p := &process{scans: make(chan time.Duration, 100), want: fmt.Sprintf("objects=%d workloads=%d ", objects, workloads)}
	p.cmd = exec.CommandContext(ctx, binary, "serve", "--kubeconfig="+kubeconfig, "--cert-dir="+dir, "--policy="+filepath.Join(dir, "policy.yaml"),
		"--address=127.0.0.1:"+port, "--metrics-address=0", "--health-address=0", "--shutdown-delay=0s", "--audit-interval=1s", "--audit-address=127.0.0.1:0")
	// The soft limit of the Deployment that ships.
	p.cmd.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH"), "GOMEMLIMIT=224MiB"}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	go p.read(log)
	return p, nil
}

func (p *process) read(log io.Reader) {
	for scanner := bufio.NewScanner(log); scanner.Scan(); {
		line := scanner.Text()
		p.mutex.Lock()
		p.lines = append(p.lines, line)
		p.mutex.Unlock()
		if strings.Contains(line, `msg="scanned the cluster"`) {
			if !strings.Contains(line, p.want) { // what is not judged costs nothing
				break
			}
			p.scans <- p.cpu()
		}
	}
	close(p.scans)
}

// scan waits for the end of a scan and returns the processor time by then.
func (p *process) scan(ctx context.Context) (time.Duration, error) {
	select {
	case at, ok := <-p.scans:
		if !ok {
			return 0, fmt.Errorf("portcullis serve has ended, or a scan has not found %s", p.want)
		}
		return at, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for a scan: %w", ctx.Err())
	}
}

// tick is the unit of /proc/PID/stat, USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpu is the processor time so far, of user and system.
func (p *process) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// peak is the largest resident size so far, in bytes.
func (p *process) peak() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// tail is the end of the log.
func (p *process) tail() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-10):], "\n")
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // how it ended its log says
}

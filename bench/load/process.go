package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server under load.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string        // file with what it prints
	ended chan struct{} // closed when it has
	ready time.Duration // from its start to the first 200 of its health check
}

// command says how a process is started.
type command struct {
	name   string
	path   string
	args   []string
	dir    string // for its log, and its home
	health string // URL that answers 200 once it is ready
	client *http.Client
}

// start returns when the process is ready.
func start(ctx context.Context, c command) (*process, error) {
	p := &process{name: c.name, log: filepath.Join(c.dir, c.name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", c.name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(c.path, c.args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Nothing of the caller's is passed on: no proxy, no registry credentials.
	p.cmd.Env = []string{"HOME=" + c.dir, "TMPDIR=" + c.dir, "PATH=" + os.Getenv("PATH")}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended its log says
		close(p.ended)
	}()
	if err := p.await(ctx, c.client, c.health); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for %s: %w", c.name, err), p.stop())
	}
	p.ready = time.Since(begin)
	return p, nil
}

// await polls often: the time until ready is one of the figures.
func (p *process) await(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if answers(ctx, client, url) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; it says: %s", ctx.Err(), p.lastWords())
		case <-p.ended:
			return fmt.Errorf("it has ended; it says: %s", p.lastWords())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (p *process) lastWords() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// stop ends the process, softly at first.
func (p *process) stop() error {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Kill} {
		if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping %s: %w", p.name, err)
		}
		select {
		case <-p.ended:
			return nil
		case <-time.After(5 * time.Second):
		}
	}
	return fmt.Errorf("stopping %s: it goes on after SIGKILL", p.name)
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 wherever Linux runs.
const tick = 10 * time.Millisecond

// cpu is the processor time that the process has used, in user and kernel mode.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time of %s, which takes Linux: %w", p.name, err)
	}
	// The second field is a name in brackets, with any characters. Fields 14 and 15,
	// utime and stime, are the 12th and 13th after it (proc_pid_stat(5)).
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the processor time of %s: got %q", p.name, data)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// memory is the most that the process has had resident so far, in bytes.
func (p *process) memory() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of %s, which takes Linux: %w", p.name, err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	value, _, _ := strings.Cut(rest, " kB")
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	return kilobytes << 10, nil
}

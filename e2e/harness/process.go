package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs beside the tests.
type process struct {
	name    string
	command *exec.Cmd
	log     lockedBuffer
	ended   chan struct{}
	err     error // how it ended, once ended is closed

	// unhandled is for a program that leaves SIGTERM to the kernel.
	unhandled bool
}

// startProcess starts a program whose output is kept.
func startProcess(path string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(path), command: exec.Command(path, args...), ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	// A group of its own: Ctrl-C in a terminal goes to the demo, which then ends
	// the rest in order.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// signal sends a signal; a process that has ended takes none.
func (p *process) signal(s syscall.Signal) error { return p.command.Process.Signal(s) }

// wait returns how the process ended.
func (p *process) wait(timeout time.Duration) error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(timeout):
		return fmt.Errorf("%s still runs after %s", p.name, timeout)
	}
}

// stop ends the process, by force if it does not obey.
func (p *process) stop(timeout time.Duration) error {
	select {
	case <-p.ended: // by itself, which was not asked for
		return fmt.Errorf("%s ended early: %w\n%s", p.name, orEnded(p.err), p.log.String())
	default:
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	err := p.wait(timeout)
	if err == nil || p.unhandled && p.killedBy(syscall.SIGTERM) {
		return nil
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.ended
	return fmt.Errorf("stopping %s: %w", p.name, err)
}

// killedBy tells whether a signal has ended the process.
func (p *process) killedBy(s syscall.Signal) bool {
	select {
	case <-p.ended:
	default:
		return false
	}
	status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == s
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// lockedBuffer keeps output that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

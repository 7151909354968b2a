package harness

import (
	"sync"
	"syscall"
	"time"
)

// starvePeriod is that of the bandwidth control of Linux, by which a container is held
// to its CPU limit (https://docs.kernel.org/scheduler/sched-bwc.html).
const starvePeriod = 100 * time.Millisecond

// Starve has the server run for a part of each tenth of a second and stand still for
// the rest of it, as a kernel has a container that has used up what its CPU limit
// allows. It needs no cgroup, which not every machine lets tests write. The server
// goes on as before when the function returned is called.
func (s *Server) Starve(run time.Duration) (feed func()) {
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer func() { _ = s.process.signal(syscall.SIGCONT) }()
		for {
			for _, turn := range []struct {
				signal syscall.Signal
				last   time.Duration
			}{{syscall.SIGSTOP, starvePeriod - run}, {syscall.SIGCONT, run}} {
				_ = s.process.signal(turn.signal) // one that has ended takes none
				select {
				case <-stop:
					return
				case <-time.After(turn.last):
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		group.Wait()
	})
}

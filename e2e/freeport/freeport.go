// Package freeport finds ports of the loopback address for programs that tests and
// benchmarks start. A port that the kernel chose and that was closed again may be
// given to the next who asks, or to an outgoing connection, before the program has
// come to listen on it; those of this package are given once, and by us only.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Kernels choose ports for port 0 and for outgoing connections from 32768 on (Linux)
// or 49152 on (RFC 6335, section 6), so these are left to us.
const (
	lowest  = 16384
	highest = 32767
)

// Ports gives out ports; the zero value has all of them. It may be used by several
// goroutines.
type Ports struct {
	mutex sync.Mutex
	given map[int]bool
}

// Next is a port that nobody listens on and that was not given before. Those who run
// side by side start at random places, so that they hardly ever meet. It is an error
// if the loopback address has none left.
func (p *Ports) Next() (string, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	const count = highest - lowest + 1
	start := rand.IntN(count)
	var last error
	for i := range count {
		port := lowest + (start+i)%count
		if p.given[port] {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		if err := listener.Close(); err != nil {
			return "", fmt.Errorf("finding a free port: %w", err)
		}
		if p.given == nil {
			p.given = map[int]bool{}
		}
		p.given[port] = true
		return strconv.Itoa(port), nil
	}
	return "", fmt.Errorf("finding a free port from %d to %d: none is left: %w", lowest, highest, last)
}

package freeport

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

func TestNext(t *testing.T) {
	var (
		ports   Ports
		mutex   sync.Mutex
		seen    = map[string]bool{}
		running sync.WaitGroup
	)
	for range 8 {
		running.Go(func() {
			for range 100 {
				port, err := ports.Next()
				if err != nil {
					t.Error(err)
					return
				}
				mutex.Lock()
				if seen[port] {
					t.Errorf("got %s twice", port)
				}
				seen[port] = true
				mutex.Unlock()
			}
		})
	}
	running.Wait()
	for port := range seen {
		if n, err := strconv.Atoi(port); err != nil || n < lowest || n > highest {
			t.Errorf("got %q, want a port from %d to %d", port, lowest, highest)
		}
	}
}

func TestNextPassesOverThoseInUse(t *testing.T) {
	ports := Ports{given: map[int]bool{}}
	for port := lowest + 2; port <= highest; port++ { // all but two
		ports.given[port] = true
	}
	if listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(lowest)); err == nil { // otherwise somebody else is there
		defer listener.Close()
	}
	if got, err := ports.Next(); err != nil || got != strconv.Itoa(lowest+1) {
		t.Fatalf("got %q, %v, want %d", got, err, lowest+1)
	}
	if got, err := ports.Next(); err == nil {
		t.Errorf("got %s, want an error since none is left", got)
	}
}

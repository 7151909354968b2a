package image

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

// maxResident is what a whole run may hold, the registries' images included, in MiB. The manifests give the webhook as much.
const maxResident = 128

// row is one case of the fault suite.
type row struct {
	name     string
	requests atomic.Int64 // seen by its registries
	took     time.Duration
	verdict  string
}

// suite is what the run has shown so far: TestMain has no other way to see the tests.
var suite struct {
	mu   sync.Mutex
	rows []*row
	open map[testing.TB]*row
}

// record is the row of a test, which newWorld asks for; a test that needs no registry calls it itself.
func record(t testing.TB) *row {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	if r, ok := suite.open[t]; ok {
		return r
	}
	r, began := &row{name: strings.TrimPrefix(t.Name(), "Test")}, time.Now()
	if suite.open == nil {
		suite.open = map[testing.TB]*row{}
	}
	suite.open[t] = r
	suite.rows = append(suite.rows, r)
	t.Cleanup(func() {
		suite.mu.Lock()
		defer suite.mu.Unlock()
		delete(suite.open, t)
		r.took, r.verdict = time.Since(began), "pass"
		if t.Failed() {
			r.verdict = "FAIL"
		}
	})
	return r
}

// named are the tests named after a row of the threat model.
func named(rows []*row) []*row {
	pattern := regexp.MustCompile(`^(Faults)?[TF][0-9]`)
	var all []*row
	for _, r := range rows {
		if pattern.MatchString(r.name) {
			all = append(all, r)
		}
	}
	return all
}

// resident is the peak resident memory of this process in MiB, 0 where the system does not say.
func resident() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	if !ok {
		return 0
	}
	var kib int
	_, _ = fmt.Sscan(string(rest), &kib)
	return (kib + 1023) >> 10
}

// fuzzing reports whether this process fuzzes, which is no run of the suite.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			return true
		}
	}
	return false
}

// TestMain prints the fault suite as one table with -v, and fails a run that needs more memory than the webhook is given.
func TestMain(m *testing.M) {
	debug.SetMemoryLimit(maxResident << 20 / 2) // as the manifests do with GOMEMLIMIT
	code, peak := m.Run(), resident()
	if rows := named(suite.rows); testing.Verbose() && len(rows) > 0 {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "CASE\tREQUESTS\tTIME\tVERDICT")
		for _, r := range rows {
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", r.name, r.requests.Load(), r.took.Round(100*time.Microsecond), r.verdict)
		}
		_ = table.Flush()
		fmt.Printf("%d cases, peak resident memory %d MiB of %d\n", len(rows), peak, maxResident)
	}
	if peak > maxResident && !raceDetector && !fuzzing() {
		fmt.Printf("FAIL: got %d MiB peak resident memory, want at most %d\n", peak, maxResident)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Command check measures portcullis check against the loop that it has to beat:
// sigs.k8s.io/yaml and the Pod Security evaluator, one file after the other. Both
// are processes of their own, started in turns, and read the same 2,000 files. It
// also measures how long the binary takes to start.
//
//	make build && go run ./bench/check
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("binary", "bin/portcullis", "portcullis `binary` to measure")
	count := flag.Int("files", 2000, "`number` of manifests")
	rounds := flag.Int("rounds", 5, "`times` that both are run")
	keep := flag.String("keep", "", "`folder` to leave the manifests in (default: a temporary one)")
	loopOver := flag.String("loop", "", "only run the loop over a `folder`, as this program does with itself")
	flag.Parse()
	if *loopOver != "" {
		refused, err := loop(*loopOver)
		fmt.Println(refused)
		return err
	}
	folder := *keep
	if folder == "" {
		temporary, err := os.MkdirTemp("", "portcullis-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		folder = temporary
	} else if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	if err := generate(folder, *count); err != nil {
		return err
	}
	return compare(*binary, folder, *count, *rounds)
}

// compare runs both over a folder of so many files, in turns. What they write is read
// when all have been measured: the kernel counts the memory of this process as that of
// those it starts.
func compare(binary, folder string, count, rounds int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var starts, loops, checks []sample
	for range rounds {
		start, err := measure(binary, "version")
		if err != nil {
			return err
		}
		if _, err := start.read(); err != nil {
			return err
		}
		l, err := measure(self, "-loop", folder)
		if err != nil {
			return err
		}
		c, err := measure(binary, "check", "--preset", "restricted", "--output", "json", folder)
		if err != nil {
			return err
		}
		starts, loops, checks = append(starts, start), append(loops, l), append(checks, c)
	}
	for i := range rounds {
		if err := sameVerdict(loops[i], checks[i], count); err != nil {
			return err
		}
	}
	start, l, c := median(starts), median(loops), median(checks)
	for _, of := range []struct {
		name string
		sample
	}{{"start", start}, {"loop", l}, {"check", c}} {
		fmt.Printf("%-6s %5d ms, %5d ms of processors, %3d MiB at most\n", of.name, of.wall.Milliseconds(), of.cpu.Milliseconds(), of.rss>>20)
	}
	fmt.Printf("check takes %.2f of the loop's time and %.2f of its processors' over %d files (medians of %d runs each)\n",
		c.wall.Seconds()/l.wall.Seconds(), c.cpu.Seconds()/l.cpu.Seconds(), count, rounds)
	return nil
}

// sample is one run of a process.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // of all processors, which other work on the machine changes least
	rss    int64         // the most memory it had, in bytes
	output string        // the file that it wrote
}

// measure runs a process to its end. Exit code 1 is that of findings.
func measure(name string, args ...string) (sample, error) {
	output, err := os.CreateTemp("", "portcullis-bench-output-")
	if err != nil {
		return sample{}, err
	}
	defer output.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = output, os.Stderr
	start := time.Now()
	err = cmd.Run()
	s := sample{wall: time.Since(start), output: output.Name()}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return s, fmt.Errorf("running %s: %w", name, err)
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.rss = usage.Maxrss << 10
	}
	return s, nil
}

// read returns what the process wrote, and takes the file away.
func (s sample) read() ([]byte, error) {
	defer os.Remove(s.output)
	return os.ReadFile(s.output)
}

// sameVerdict requires that both have judged all files and refuse as many.
func sameVerdict(l, c sample, count int) error {
	var report struct {
		Results []struct{ Source, Rule, Result string }
		Summary struct{ Objects int }
	}
	judged, err := c.read()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(judged, &report); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	refused := map[string]bool{}
	for _, r := range report.Results {
		if r.Rule == "podSecurity" && r.Result == "fail" {
			refused[r.Source] = true
		}
	}
	counted, err := l.read()
	if err != nil {
		return err
	}
	want := 0
	if _, err := fmt.Sscan(string(counted), &want); err != nil {
		return fmt.Errorf("reading what the loop wrote: %w", err)
	}
	if report.Summary.Objects != count || len(refused) != want {
		return fmt.Errorf("check judged %d objects and refuses %d, want %d and %d", report.Summary.Objects, len(refused), count, want)
	}
	return nil
}

// median is the run of the median time, with the most memory of all runs.
func median(samples []sample) sample {
	slices.SortFunc(samples, func(a, b sample) int { return int(a.wall - b.wall) })
	m := samples[len(samples)/2]
	for _, s := range samples {
		m.rss = max(m.rss, s.rss)
	}
	return m
}

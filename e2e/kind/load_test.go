//go:build kind

package kind

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// loadRate is the number of pods that a load creates in a second, at most.
	loadRate = 100
	// loadInFlight bounds the creations that wait for an answer: a machine that
	// cannot keep up gets a slower load, and not a growing queue, in which
	// everything would end with a timeout.
	loadInFlight = 20
	// loadMinimum is the rate below which a load says nothing, for machines that have
	// other work.
	loadMinimum = 50
	// loadCycle is after how many pods the load repeats itself. One of them is
	// stored; it asks for a node that there is not, since nodes do not take 100 pods
	// a second. One is to be refused. The others are dry runs, which go through the
	// same webhooks and end before etcd.
	loadCycle = 50
)

// load creates pods at a steady pace until it is stopped.
type load struct {
	cluster   *cluster
	namespace string
	want      string // the image that every pod has to come back with
	cancel    context.CancelFunc
	done      chan struct{}
	begin     time.Time

	mu       sync.Mutex
	slowest  time.Duration
	answered int
	problems []problem
}

// problem is a creation that did not end as it should.
type problem struct {
	at   time.Time
	what string
	// unsafe ones have let something in: it was not pinned, or not refused. The
	// others were refused although they should not have been.
	unsafe bool
}

// startLoad begins to create pods. The test has to stop it.
func (c *cluster) startLoad(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{
		cluster: c, namespace: c.namespace(t, "load", nil), cancel: cancel, done: make(chan struct{}), begin: time.Now(),
		want: inTest(webImage) + "@" + c.registry.digest(t, webImage),
	}
	go l.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-l.done
	})
	return l
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	var requests sync.WaitGroup
	defer requests.Wait()
	slots := make(chan struct{}, loadInFlight)
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	for number := 0; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		slots <- struct{}{}
		requests.Go(func() {
			l.create(number)
			<-slots
		})
	}
}

// create creates one pod. What is under way when the load is stopped comes to its
// end.
func (l *load) create(number int) {
	pod := newPod(l.namespace, fmt.Sprintf("load-%d", number), webImage)
	pod.Spec.NodeSelector = map[string]string{"e2e/none": "true"}
	stored := number%loadCycle == 0
	bad := number%loadCycle == loadCycle/2
	if bad {
		pod.Spec.HostNetwork = true
	}
	options := []client.CreateOption{client.DryRunAll}
	if stored {
		options = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	err := l.cluster.client.Create(ctx, pod, options...)
	l.record(begin, l.judge(pod, bad, err))
}

func (l *load) judge(pod *corev1.Pod, bad bool, err error) *problem {
	switch {
	case bad && err == nil:
		return &problem{what: "a pod with hostNetwork was let in", unsafe: true}
	case bad && !strings.Contains(err.Error(), "podSecurity/hostNamespaces"):
		return &problem{what: "not judged: " + err.Error()}
	case bad:
		return nil
	case err != nil:
		return &problem{what: "refused: " + err.Error()}
	case pod.Spec.Containers[0].Image != l.want:
		return &problem{what: fmt.Sprintf("stored with image %q, want %q", pod.Spec.Containers[0].Image, l.want), unsafe: true}
	}
	return nil
}

func (l *load) record(begin time.Time, p *problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered++
	l.slowest = max(l.slowest, time.Since(begin))
	if p != nil {
		p.at = begin
		l.problems = append(l.problems, *p)
	}
}

// stop ends the load and returns what went wrong, in the order of time. A load that
// came to a standstill fails the test, since it proves nothing.
func (l *load) stop(t *testing.T) []problem {
	t.Helper()
	l.cancel()
	<-l.done
	elapsed := time.Since(l.begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	rate := float64(l.answered) / elapsed.Seconds()
	t.Logf("%d creations in %.0f s, %.0f a second, the slowest took %s; %d problems",
		l.answered, elapsed.Seconds(), rate, l.slowest.Round(time.Millisecond), len(l.problems))
	if rate < loadMinimum {
		t.Errorf("got %.0f creations a second, want %d and at least %d: this machine is too busy for the test to prove anything", rate, loadRate, loadMinimum)
	}
	slices.SortFunc(l.problems, func(a, b problem) int { return a.at.Compare(b.at) })
	return l.problems
}

// stopUnharmed ends the load, of which nothing may have gone wrong.
func (l *load) stopUnharmed(t *testing.T) {
	t.Helper()
	report(t, l.stop(t), l.begin)
}

// report makes errors of problems: the first ones, and how many there are.
func report(t *testing.T, problems []problem, begin time.Time) {
	t.Helper()
	for i, p := range problems {
		if i == 5 {
			t.Errorf("and %d more", len(problems)-i)
			return
		}
		t.Errorf("%s after the start: %s", p.at.Sub(begin).Round(time.Millisecond), p.what)
	}
}

// privileged makes a pod that no level but privileged lets pass.
func privileged(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	return pod
}

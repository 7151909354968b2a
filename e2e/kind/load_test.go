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

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// loadRate is the number of pods that a load creates in a second.
	loadRate = 100
	// loadInFlight bounds the creations that wait for an answer: a machine that
	// cannot keep up gets a slower load, and not a growing queue, in which
	// everything would end with a timeout.
	loadInFlight = 40
	// loadDebt is how far a load may fall behind its pace and still catch up: a pause
	// of the machine, during which nothing was sent, is not forgiven.
	loadDebt = 5 * time.Second
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
	// before is what the API server had counted when the load began.
	before admissionCounts
	// rate is how many were answered in a second, once the load has been stopped.
	rate float64

	mu       sync.Mutex
	slowest  time.Duration
	answered int
	refused  int // of those that had to be
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
		cluster: c, namespace: c.namespace(t, "load", nil), cancel: cancel, done: make(chan struct{}),
		want: inTest(webImage) + "@" + c.registry.digest(t, webImage), before: c.admissionCounts(t),
	}
	l.begin = time.Now()
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
	due := l.begin
	for number := 0; ; number++ {
		due = due.Add(time.Second / loadRate)
		if oldest := time.Now().Add(-loadDebt); due.Before(oldest) {
			due = oldest
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
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
	l.record(begin, bad, l.judge(pod, bad, err))
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

func (l *load) record(begin time.Time, bad bool, p *problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered++
	l.slowest = max(l.slowest, time.Since(begin))
	switch {
	case p != nil:
		p.at = begin
		l.problems = append(l.problems, *p)
	case bad:
		l.refused++
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
	l.rate = float64(l.answered) / elapsed.Seconds()
	t.Logf("%d creations in %.0f s, %.1f a second, the slowest took %s; %d problems; the API server counts %+v",
		l.answered, elapsed.Seconds(), l.rate, l.slowest.Round(time.Millisecond), len(l.problems), l.cluster.admissionCounts(t).minus(l.before))
	if l.rate < loadMinimum {
		t.Errorf("got %.1f creations a second, want %d and at least %d: this machine is too busy for the test to prove anything", l.rate, loadRate, loadMinimum)
	}
	slices.SortFunc(l.problems, func(a, b problem) int { return a.at.Compare(b.at) })
	return l.problems
}

// stopUnharmed ends the load, of which nothing may have gone wrong: neither for who
// created pods, nor by the API server's own account.
func (l *load) stopUnharmed(t *testing.T) {
	t.Helper()
	report(t, l.stop(t), l.begin)
	want := admissionCounts{Refused: l.refused}
	if diff := cmp.Diff(want, l.cluster.admissionCounts(t).minus(l.before)); diff != "" {
		t.Errorf("what the API server has counted of our webhooks (-want +got):\n%s", diff)
	}
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

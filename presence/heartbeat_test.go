package presence

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

var lease = types.NamespacedName{Namespace: "sys", Name: "beat"}

// replica is a Heartbeat with a clock of its own.
type replica struct {
	*Heartbeat
	now      time.Time
	policies map[string]string
	unready  error
}

func of(c *fake.Clientset) Client {
	return Client{c.CoordinationV1(), c.AdmissionregistrationV1(), time.Now}
}

func begin() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func newReplica(client *fake.Clientset) *replica {
	r := &replica{now: begin(), policies: map[string]string{"p": "1"}}
	r.Heartbeat = &Heartbeat{
		Client: of(client), Lease: lease, Interval: 5 * time.Second, Configuration: "portcullis", Log: slog.New(slog.DiscardHandler),
		Ready: func() error { return r.unready }, Policies: func() map[string]string { return r.policies },
	}
	r.Client.Now = func() time.Time { return r.now }
	return r
}

func objects() (*coordinationv1.Lease, *admissionregistrationv1.ValidatingWebhookConfiguration) {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: lease.Namespace, Name: lease.Name}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "portcullis"}, Webhooks: make([]admissionregistrationv1.ValidatingWebhook, 1),
		}
}

// stored is what the Lease says.
func stored(t testing.TB, client *fake.Clientset) note {
	t.Helper()
	found, err := client.CoordinationV1().Leases(lease.Namespace).Get(t.Context(), lease.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := read(found)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHeartbeat(t *testing.T) {
	l, configuration := objects()
	client := fake.NewClientset(l, configuration)
	r := newReplica(client)
	at := func(seconds int) {
		t.Helper()
		r.now = begin().Add(time.Duration(seconds) * time.Second)
		if err := r.beat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// lines are what is noted: the last beat, and gaps.
	lines := func() string {
		n := stored(t, client)
		text := fmt.Sprintf("beat at %.0f", n.renewed.Sub(begin()).Seconds())
		for _, g := range n.gaps {
			text += fmt.Sprintf(", gap %.0f-%.0f %v", g.From.Sub(begin()).Seconds(), g.Until.Sub(begin()).Seconds(), g.Policies)
		}
		return text
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"the first one, of a new installation", func() { at(0) }, "beat at 0"},
		{"another replica has just done it", func() { at(3) }, "beat at 0"},
		{"in time", func() { at(5) }, "beat at 5"},
		{"late, and not too late", func() { at(15) }, "beat at 15"},
		{"not ready", func() { r.unready = errors.New("draining"); at(20) }, "beat at 15"},
		{"back, with another policy", func() { r.unready = nil; r.policies = map[string]string{"p": "2"}; at(26) }, "beat at 26, gap 15-26 map[p:1]"},
		{"not registered", func() {
			if err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "portcullis", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			at(31)
			at(36)
			at(41)
		}, "beat at 26, gap 15-26 map[p:1]"},
		{"registered again", func() {
			if _, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), configuration, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			at(46)
		}, "beat at 46, gap 15-26 map[p:1], gap 26-46 map[p:2]"},
	} {
		step.do()
		if got := lines(); got != step.want {
			t.Errorf("%s: got %s, want %s", step.what, got, step.want)
		}
	}
}

// TestGaps has a scan that begins before the first replica is back know the gap that
// lasts, and none where nobody keeps a note.
func TestGaps(t *testing.T) {
	l, configuration := objects()
	client := fake.NewClientset(l, configuration)
	r := newReplica(client)
	gaps := func() []Gap {
		t.Helper()
		got, err := Gaps(t.Context(), of(client), lease, r.Interval)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := gaps(); got != nil {
		t.Errorf("before the first note: got %v, want none", got)
	}
	r.now = time.Now().Add(-time.Minute)
	if err := r.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := gaps()
	if len(got) != 1 || !got[0].Open || time.Since(got[0].Until) > 10*time.Second || cmp.Diff(r.policies, got[0].Policies) != "" {
		t.Errorf("got %v, want one until now", got)
	}
	none, err := Gaps(t.Context(), of(fake.NewClientset()), lease, r.Interval)
	if none != nil || err != nil {
		t.Errorf("without a Lease: got %v, %v", none, err)
	}
}

// TestGapsByTheIntervalOfTheLease reads the notes of replicas that make them seldom.
func TestGapsByTheIntervalOfTheLease(t *testing.T) {
	l, configuration := objects()
	client := fake.NewClientset(l, configuration)
	r := newReplica(client)
	r.Interval, r.now = time.Minute, time.Now().Add(-50*time.Second)
	if err := r.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := Gaps(t.Context(), of(client), lease, DefaultInterval); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v, want none: the next note is not due", got, err)
	}
}

// TestBounds holds the Lease to its bounds, whatever the policies are called.
func TestBounds(t *testing.T) {
	n := note{policies: map[string]string{}}
	for i := range 300 {
		n.policies[fmt.Sprintf("%s-%d", strings.Repeat("x", 240), i)] = "0123456789abcdef"
	}
	few := map[string]string{"p": "1"}
	for i := range 40 {
		n.gaps = append(n.gaps, Gap{From: begin().Add(time.Duration(i) * time.Hour), Policies: few})
	}
	l, _ := objects()
	if err := n.write(l); err != nil {
		t.Fatal(err)
	}
	back, err := read(l)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.gaps) != maxGaps || !back.gaps[maxGaps-1].From.Equal(begin().Add(39*time.Hour)) {
		t.Errorf("got %d gaps, want the newest %d", len(back.gaps), maxGaps)
	}
	if len(back.policies) != 0 {
		t.Errorf("got %d policies, want none: they are too large to note", len(back.policies))
	}
	for i := range n.gaps {
		n.gaps[i].Policies = n.policies
	}
	if err := n.write(l); err != nil {
		t.Fatal(err)
	}
	if size := len(l.Annotations[gapsAnnotation]); size > maxGapBytes {
		t.Errorf("got %d bytes of gaps, want at most %d", size, maxGapBytes)
	}
}

func TestCovers(t *testing.T) {
	g := Gap{From: begin().Add(500 * time.Millisecond), Until: begin().Add(10 * time.Second)}
	for seconds, want := range map[int]bool{0: false, 1: true, 10: true, 11: false} {
		if got := g.Covers(begin().Add(time.Duration(seconds) * time.Second)); got != want {
			t.Errorf("%d s: got %t, want %t", seconds, got, want)
		}
	}
}

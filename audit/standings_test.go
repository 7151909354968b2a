package audit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
)

// askedImages answers from a map, and notes what it was asked.
type askedImages struct {
	answers map[string]image.Standing
	asked   []string
}

func (a *askedImages) Standing(_ context.Context, reference string, who image.Credentials) image.Standing {
	a.asked = append(a.asked, who.Namespace+" "+reference)
	return a.answers[reference]
}

func TestStandings(t *testing.T) {
	none := &image.Error{Reason: image.NotFound}
	outage := &image.Error{Reason: image.Unreachable}
	asker := &askedImages{answers: map[string]image.Standing{
		"same:1@sha256:a":     {Tag: "sha256:a"},
		"moved:1@sha256:a":    {Tag: "sha256:b"},
		"untagged@sha256:a":   {},
		"tagless:1@sha256:a":  {TagErr: none},
		"vanished:1@sha256:a": {Tag: "sha256:b", Err: none},
		"away:1@sha256:a":     {TagErr: outage, Err: outage},
	}}
	var pinned []Pinned
	for name := range asker.answers {
		for _, namespace := range []string{"shop", "web"} {
			pinned = append(pinned, Pinned{Namespace: namespace, Image: name, Who: image.Credentials{Namespace: namespace}, Workloads: 1, Examples: []string{"Pod/x"}})
		}
	}
	s := &Standings{Registries: asker, Interval: time.Hour}
	if got := s.Ask(t.Context(), pinned); got != 6 || len(asker.asked) != 6 {
		t.Errorf("got %d questions %v, want one for each reference", got, asker.asked)
	}
	if got := s.Ask(t.Context(), pinned); got != 0 {
		t.Errorf("got %d questions at once again, want none within the interval", got)
	}
	news := func() map[string]int {
		counts := map[string]int{}
		for _, p := range s.News(pinned) {
			counts[fmt.Sprintf("%s %s %s", p.Image, p.State, p.Tag)]++
		}
		return counts
	}
	want := map[string]int{"moved:1@sha256:a moved sha256:b": 2, "tagless:1@sha256:a tagGone ": 2, "vanished:1@sha256:a vanished sha256:b": 2}
	if diff := cmp.Diff(want, news()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A registry that goes away takes back nothing.
	asker.answers["moved:1@sha256:a"] = image.Standing{TagErr: outage}
	s.Interval = 0
	s.Ask(t.Context(), pinned)
	if diff := cmp.Diff(want, news()); diff != "" {
		t.Errorf("with the registry away (-want +got):\n%s", diff)
	}
	s.Wanted = func() bool { return false }
	if asked := s.Ask(t.Context(), pinned); asked != 0 || len(news()) != 0 {
		t.Errorf("got %d questions, news %v, want none where no policy asks registries", asked, news())
	}
}

// TestStandingsBound asks about few of many at once, and about the others next.
func TestStandingsBound(t *testing.T) {
	asker := &askedImages{}
	var pinned []Pinned
	for i := range standingsAtOnce + 50 {
		pinned = append(pinned, Pinned{Namespace: "shop", Image: fmt.Sprintf("i%03d@sha256:a", i)})
	}
	s := &Standings{Registries: asker, Interval: time.Hour, limit: unlimited{}}
	if first, second, third := s.Ask(t.Context(), pinned), s.Ask(t.Context(), pinned), s.Ask(t.Context(), pinned); first != standingsAtOnce || second != 50 || third != 0 {
		t.Errorf("got %d, %d and %d questions, want %d, 50 and 0", first, second, third, standingsAtOnce)
	}
}

// TestStandingsOwners asks once for each that may see another answer.
func TestStandingsOwners(t *testing.T) {
	asker := &askedImages{}
	var pinned []Pinned
	for _, namespace := range []string{"shop", "web"} {
		pinned = append(pinned, Pinned{Namespace: namespace, Image: "i@sha256:a", Who: image.Credentials{Namespace: namespace}})
	}
	(&Standings{Registries: asker, Interval: time.Hour, PullSecrets: true}).Ask(t.Context(), pinned)
	if diff := cmp.Diff([]string{"shop i@sha256:a", "web i@sha256:a"}, asker.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// unlimited is a rate limit that is none.
type unlimited struct{}

func (unlimited) TryAccept() bool            { return true }
func (unlimited) Accept()                    {}
func (unlimited) Stop()                      {}
func (unlimited) QPS() float32               { return 0 }
func (unlimited) Wait(context.Context) error { return nil }

// TestScanPinned lists the references with a digest once for each namespace, with who
// has them.
func TestScanPinned(t *testing.T) {
	pager := clusterOf(t,
		made{kind: "Deployment", name: "web", image: "good:1@sha256:a"},
		made{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "good:1@sha256:a"},
		made{kind: "Pod", name: "alone", image: "good:1@sha256:a"},
		made{kind: "Pod", name: "tag", image: "good:1"},
	)
	scan, err := (&Scanner{Pager: pager, Judge: &imageJudge{}}).Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Pinned{{Namespace: "shop", Image: "good:1@sha256:a", Workloads: 2, Examples: []string{"Deployment/web", "Pod/alone"}}}
	if diff := cmp.Diff(want, scan.Pinned); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

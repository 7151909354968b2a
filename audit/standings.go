package audit

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/util/flowcontrol"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

const (
	// standingsAtOnce bounds how many references are asked about after one scan, and
	// standingsPerSecond how fast: a registry that a whole cluster pulls from has
	// better to do.
	standingsAtOnce    = 200
	standingsPerSecond = 5
	// standingsTime bounds how long that takes.
	standingsTime = time.Minute
	// maxPinnedUsers bounds the workloads that are named with a reference.
	maxPinnedUsers = 3
)

// Pinned is a reference with a digest that workloads of a namespace have.
type Pinned struct {
	Namespace, Image string
	// Who pulls it.
	Who image.Credentials
	// Workloads is how many have it, Examples are the first of them.
	Workloads int
	Examples  []string
}

// pinnedImages are the references with a digest of a workload, as written.
func pinnedImages(w *pod.Workload) []string {
	if w.Spec == nil {
		return nil
	}
	var all []string
	for i := range w.Images() {
		if strings.Contains(*i.Reference, "@") && !slices.Contains(all, *i.Reference) {
			all = append(all, *i.Reference)
		}
	}
	return all
}

// pinned are those of all that was scanned, what counts with its owner included.
func (c *scanning) pinned() []Pinned {
	type pin struct{ namespace, image, who string }
	known := map[pin]*Pinned{}
	users := map[pin]map[*entity]bool{}
	for _, e := range c.order {
		if e.judged == nil {
			continue
		}
		for _, reference := range e.judged.pinned {
			k := pin{e.namespace, reference, whoKey(e.judged.Credentials)}
			if known[k] == nil {
				known[k] = &Pinned{Namespace: e.namespace, Image: reference, Who: e.judged.Credentials}
				users[k] = map[*entity]bool{}
			}
			root := e.root()
			if users[k][root] {
				continue
			}
			users[k][root] = true
			known[k].Workloads++
			if len(known[k].Examples) < maxPinnedUsers {
				known[k].Examples = append(known[k].Examples, root.kind.Name+"/"+root.name)
			}
		}
	}
	all := make([]Pinned, 0, len(known))
	for _, p := range known {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Pinned) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Image, b.Image), cmp.Compare(whoKey(a.Who), whoKey(b.Who)))
	})
	return all
}

func whoKey(who image.Credentials) string {
	return strings.Join(append([]string{who.Namespace, who.ServiceAccount}, who.PullSecrets...), "\x00")
}

// StandingAsker asks a registry how things stand with a reference that has a digest.
type StandingAsker interface {
	Standing(ctx context.Context, reference string, who image.Credentials) image.Standing
}

// Standings keeps what registries say about pinned images: whether the tag still
// stands for the digest, and whether the digest is still there. It asks after a scan,
// slowly, and about each reference once in an interval. It is not safe for concurrent
// use.
type Standings struct {
	// Registries are asked. Required.
	Registries StandingAsker
	// Interval is from one question about a reference to the next. Required.
	Interval time.Duration
	// PullSecrets is set where registries are asked with the pull secrets of workloads,
	// so that what one namespace is told is not what another one is.
	PullSecrets bool
	// Wanted reports whether registries are asked at all: not where no policy does. Nil:
	// they are.
	Wanted func() bool

	known map[string]standing
	limit flowcontrol.RateLimiter
}

type standing struct {
	asked time.Time
	// state is empty for an image that is as it was pinned, and for one about which
	// the registry has not said anything.
	state report.ImageState
	tag   string
}

func (s *Standings) key(p *Pinned) string {
	if !s.PullSecrets {
		return p.Image
	}
	return p.Image + "\x00" + whoKey(p.Who)
}

// Ask asks about the references that are due, those never asked about first, and
// forgets those that nothing has any more. It returns how many it asked about.
func (s *Standings) Ask(ctx context.Context, pinned []Pinned) (asked int) {
	if s.Wanted != nil && !s.Wanted() {
		s.known = nil
		return 0
	}
	if s.limit == nil {
		s.limit = flowcontrol.NewTokenBucketRateLimiter(standingsPerSecond, standingsPerSecond)
	}
	now := time.Now()
	next := make(map[string]standing, len(s.known))
	due := map[string]*Pinned{}
	for i := range pinned {
		k := s.key(&pinned[i])
		next[k] = s.known[k]
		if now.Sub(next[k].asked) >= s.Interval {
			due[k] = &pinned[i]
		}
	}
	s.known = next
	order := slices.SortedFunc(maps.Keys(due), func(a, b string) int {
		return cmp.Or(s.known[a].asked.Compare(s.known[b].asked), cmp.Compare(a, b))
	})
	ctx, cancel := context.WithTimeout(ctx, standingsTime)
	defer cancel()
	for _, k := range order[:min(len(order), standingsAtOnce)] {
		if s.limit.Wait(ctx) != nil {
			break
		}
		s.known[k] = s.known[k].after(s.Registries.Standing(ctx, due[k].Image, due[k].Who), time.Now())
		asked++
	}
	return asked
}

// after is what is known once a registry has said something. Where it said nothing,
// what it said before counts.
func (s standing) after(now image.Standing, at time.Time) standing {
	s.asked = at
	switch {
	case notFound(now.Err):
		return standing{at, report.ImageVanished, now.Tag}
	case now.Err != nil:
		return s
	case notFound(now.TagErr):
		return standing{at, report.TagGone, ""}
	case now.TagErr != nil:
		return s
	}
	return standing{at, report.TagMoved, now.Tag}
}

func notFound(err error) bool {
	failure := (*image.Error)(nil)
	return errors.As(err, &failure) && failure.Reason == image.NotFound
}

// News are the references about which there is something to tell.
func (s *Standings) News(pinned []Pinned) []report.PinnedImage {
	var all []report.PinnedImage
	for i := range pinned {
		p := &pinned[i]
		known := s.known[s.key(p)]
		if known.state == "" || known.state == report.TagMoved && (known.tag == "" || strings.HasSuffix(p.Image, "@"+known.tag)) {
			continue
		}
		all = append(all, report.PinnedImage{
			Namespace: p.Namespace, Image: p.Image, State: known.state, Tag: known.tag, Workloads: p.Workloads, Examples: p.Examples,
		})
	}
	return all
}

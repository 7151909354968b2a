package lock

import (
	"context"

	"github.com/portcullis-dev/portcullis/image"
)

// Gatherer finds facts about images, all at once and within the deadline.
type Gatherer interface {
	Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
}

// Images answers what a lock knows, and asks for the rest.
type Images struct {
	Lock *Lock
	// Next is asked for what the lock does not know, and for what is inside an image.
	// Nil: nobody is asked, and there are no facts but those of the lock.
	Next Gatherer
	// Add puts digests that Next was asked for into the lock.
	Add bool
}

// Gather answers needs. A tag that is in the lock is not asked for, not even where
// somebody wants it anew: what is in the lock has been agreed to. What is inside such
// an image is asked for by its digest.
func (g *Images) Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts {
	facts := make(image.Facts, len(needs))
	written := map[string][]string{} // by reference with digest
	var rest []image.Need
	for _, n := range needs {
		ref, digest := g.Lock.find(n.Image)
		if digest == "" {
			rest = append(rest, n)
			continue
		}
		facts[n.Image] = image.Fact{Image: n.Image, Reference: ref, Digest: digest}
		if n.Config || n.UID {
			pinned := ref.Pin(digest)
			written[pinned] = append(written[pinned], n.Image)
			rest = append(rest, image.Need{Image: pinned, Config: n.Config, UID: n.UID})
		}
	}
	if g.Next == nil || len(rest) == 0 {
		return facts
	}
	for name, fact := range g.Next.Gather(ctx, rest, who) {
		facts[name] = fact
		for _, w := range written[name] {
			of := fact
			of.Image, of.Reference, of.Digest = w, facts[w].Reference, facts[w].Digest
			facts[w] = of
		}
	}
	if g.Add {
		g.add(rest, facts)
	}
	return facts
}

// add takes in the digests that were asked for, as long as registries vouch for
// them now.
func (g *Images) add(asked []image.Need, facts image.Facts) {
	for _, n := range asked {
		if fact := facts[n.Image]; n.Digest && fact.Stale == 0 {
			g.Lock.Add(fact.Reference, fact.Digest)
		}
	}
}

package report

import (
	"fmt"
	"strings"

	"github.com/portcullis-dev/portcullis/engine"
)

// ImageState is what has become of an image since it was pinned.
type ImageState string

// The states of a PinnedImage.
const (
	// TagMoved: the tag beside the digest stands for another one now. What runs goes on
	// as it is; there is something newer.
	TagMoved ImageState = "moved"
	// TagGone: the registry has the digest, and the tag no longer.
	TagGone ImageState = "tagGone"
	// ImageVanished: the registry does not have the digest any more. Pods run on where
	// the image is, and start on no other node.
	ImageVanished ImageState = "vanished"
)

// PinnedImage is an image of a namespace that is not, or not only, what it was when it
// was pinned.
type PinnedImage struct {
	Namespace string `json:"namespace"`
	// Image is the reference as written, with its digest.
	Image string     `json:"image"`
	State ImageState `json:"state"`
	// Tag is the digest that the tag stands for now, empty where there is none.
	Tag string `json:"tag"`
	// Workloads is how many have it, Examples are the first of them: Deployment/web.
	Workloads int      `json:"workloads"`
	Examples  []string `json:"examples"`
}

// String is the news in one line, for people.
func (p PinnedImage) String() string {
	return plain(engine.Quote(p.Image)) + ": " + p.news() + "; in " + p.users()
}

// news is what has become of it.
func (p PinnedImage) news() string {
	switch p.State {
	case ImageVanished:
		return "vanished from its registry: pods that have it cannot be pulled on a new node"
	case TagGone:
		return "its tag is gone from the registry; the digest is still there"
	}
	return "its tag has moved to " + plain(p.Tag)
}

// users names some of the workloads.
func (p PinnedImage) users() string {
	names := make([]string, 0, len(p.Examples)+1)
	for _, name := range p.Examples {
		names = append(names, plain(name))
	}
	if more := p.Workloads - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// ImagesRule is the Rule of results about pinned images.
const ImagesRule = "images"

// Result is the news as a report object has it: a warning where pods cannot start any
// more, else for information.
func (p PinnedImage) Result() Result {
	r := Result{
		Namespace: p.Namespace, Policy: "portcullis", Rule: ImagesRule, Check: string(p.State), Mode: "Audit", Result: Pass, Message: p.String(),
	}
	if p.State == ImageVanished {
		r.Mode, r.Result, r.Fix = "Warn", Warn, "push the image again, or move the workloads to one that is there"
	}
	if len(p.Examples) > 0 {
		r.Kind, r.Name, _ = strings.Cut(p.Examples[0], "/")
	}
	return r
}

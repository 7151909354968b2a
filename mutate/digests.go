package mutate

import (
	"errors"
	"fmt"
	"iter"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// DigestsRule is the key of the section that this file carries out.
const DigestsRule = "digests"

// Scope is what of a workload may be changed, and what it replaces.
type Scope struct {
	Workload *pod.Workload
	// Old is the workload before an update, nil where there is none.
	Old *pod.Workload
	// Image tells the images that the API server lets a webhook change; nil lets
	// it change all.
	Image func(pod.Image) bool
}

// Digests pins every image that is named by tag to the digest that the tag
// stands for: repo:tag becomes repo:tag@sha256:... The digest is that of the
// index, so that every architecture still finds its image. An image that has a
// digest is left as it is.
//
// A pin is sticky: a container whose tag was pinned before keeps its digest, so
// that applying the same manifest again starts nothing anew.
//
// There is a finding for each image whose digest is not among the facts.
func Digests(r *Recorder, s Scope, facts image.Facts) []pod.Finding {
	var findings []pod.Finding
	for i, ref := range s.unpinned() {
		if digest := s.sticky(i, ref); digest != "" {
			r.SetImage(i, ref.Pin(digest))
			continue
		}
		fact := facts[*i.Reference]
		if fact.Digest != "" {
			r.SetImage(i, ref.Pin(fact.Digest))
			continue
		}
		findings = append(findings, notPinned(i, fact.Err))
	}
	return findings
}

// DigestNeeds are the images that Digests will ask for.
func DigestNeeds(s Scope) []image.Need {
	var needs []image.Need
	for i, ref := range s.unpinned() {
		if s.sticky(i, ref) == "" {
			needs = append(needs, image.Need{Image: *i.Reference, Digest: true})
		}
	}
	return needs
}

// Unpinned are the findings of a policy that only watches: the images that
// Digests would pin. No registry is asked for that.
func Unpinned(s Scope) []pod.Finding {
	var findings []pod.Finding
	for i := range s.unpinned() {
		findings = append(findings, finding(i, "names a tag, which may stand for another image tomorrow",
			"add its digest (@sha256:...), or let Portcullis add it with mode Enforce"))
	}
	return findings
}

// unpinned iterates over the images to pin. An image that the kubelet could not
// parse is among them, with a zero reference: it has no digest, and says so.
func (s Scope) unpinned() iter.Seq2[pod.Image, image.Reference] {
	return func(yield func(pod.Image, image.Reference) bool) {
		for i := range s.Workload.Images() {
			if s.Image != nil && !s.Image(i) {
				continue
			}
			ref, err := image.ParseReference(*i.Reference)
			if err == nil && ref.Digest() != "" {
				continue
			}
			if !yield(i, ref) {
				return
			}
		}
	}
}

// sticky is the digest that the same place had for the same repository and tag.
func (s Scope) sticky(i pod.Image, ref image.Reference) string {
	if s.Old == nil || ref == (image.Reference{}) {
		return ""
	}
	for before := range s.Old.Images() {
		if before.Name != i.Name || (before.Container == nil) != (i.Container == nil) {
			continue
		}
		old, err := image.ParseReference(*before.Reference)
		if err == nil && old.Digest() != "" && old.Name() == ref.Name() && old.Tag() == ref.Tag() {
			return old.Digest()
		}
	}
	return ""
}

func notPinned(i pod.Image, err error) pod.Finding {
	const fix = "add its digest (@sha256:...)"
	var why *image.Error
	switch {
	case !errors.As(err, &why):
		f := finding(i, "names a tag, and no registry was asked for its digest", fix)
		f.NoAnswer = true
		return f
	case why.Reason == image.InvalidReference:
		return finding(i, "is not an image reference that a kubelet accepts", "write it as [registry/]repository[:tag][@sha256:digest]")
	default:
		f := finding(i, fmt.Sprintf("cannot be pinned to a digest: %s", why), fix)
		f.NoAnswer = why.Reason != image.TooManyImages
		return f
	}
}

func finding(i pod.Image, message, fix string) pod.Finding {
	f := pod.Finding{Rule: DigestsRule, Path: i.Path(), Value: *i.Reference, Message: message, Fix: fix}
	if i.Container != nil {
		f.Container = i.Name
	}
	return f
}

package mutate

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// DigestsRule is the key of the section that this file carries out.
const DigestsRule = "digests"

// Annotations of a workload's own metadata that Digests reads and writes.
const (
	// RefreshAnnotation has tags resolved anew when its value changes.
	RefreshAnnotation = "portcullis.dev/refresh"
	// PinnedAnnotation lists the containers and volumes whose digest Digests wrote,
	// separated by commas. A digest that somebody else wrote is never touched.
	PinnedAnnotation = "portcullis.dev/pinned"
	// restartAnnotation of the template is what kubectl rollout restart changes.
	restartAnnotation = "kubectl.kubernetes.io/restartedAt"
)

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
// that applying the same manifest again starts nothing anew. A tag is resolved
// anew when somebody asks for it, by kubectl rollout restart or by changing
// RefreshAnnotation; while a registry does not answer that, the pin stays.
//
// There is a finding for each image whose digest is not among the facts.
func Digests(r *Recorder, s Scope, facts image.Facts) []pod.Finding {
	var findings []pod.Finding
	var pinned []string
	for t := range s.targets() {
		digest := s.sticky(t)
		if digest == "" {
			digest = facts[t.asked].Digest
		}
		if digest == "" {
			f := notPinned(t.Image, facts[t.asked].Err)
			f.Advisory = t.digest != ""
			findings = append(findings, f)
			continue
		}
		if digest != t.digest {
			r.SetImage(t.Image, t.tag.Pin(digest))
		}
		pinned = append(pinned, t.Name)
	}
	if !s.Workload.Kind.IsPod() { // a pod is never refreshed
		s.recordPinned(r, pinned)
	}
	return findings
}

// DigestNeeds are the images that Digests will ask for.
func DigestNeeds(s Scope) []image.Need {
	var needs []image.Need
	for t := range s.targets() {
		if s.sticky(t) == "" {
			needs = append(needs, image.Need{Image: t.asked, Digest: true, Fresh: s.refreshed()})
		}
	}
	return needs
}

// Unpinned are the findings of a policy that only watches: the images that
// Digests would pin. No registry is asked for that.
func Unpinned(s Scope) []pod.Finding {
	var findings []pod.Finding
	for t := range s.targets() {
		if t.digest == "" {
			findings = append(findings, finding(t.Image, "names a tag, which may stand for another image tomorrow",
				"add its digest (@sha256:...), or let Portcullis add it with mode Enforce"))
		}
	}
	return findings
}

// Refreshed reports whether an update asks for tags to be resolved anew.
func Refreshed(old, updated *pod.Workload) bool {
	return old.Metadata.Annotations[RefreshAnnotation] != updated.Metadata.Annotations[RefreshAnnotation] ||
		templateAnnotation(old, RefreshAnnotation) != templateAnnotation(updated, RefreshAnnotation) ||
		templateAnnotation(old, restartAnnotation) != templateAnnotation(updated, restartAnnotation)
}

func (s Scope) refreshed() bool { return s.Old != nil && Refreshed(s.Old, s.Workload) }

func templateAnnotation(w *pod.Workload, key string) string {
	if w.Template == nil {
		return ""
	}
	return w.Template.Annotations[key]
}

// target is an image to pin.
type target struct {
	pod.Image
	asked  string          // the reference without a digest, as written
	tag    image.Reference // the same, parsed; zero where a kubelet could not parse it
	digest string          // what it is pinned to already, in a refresh
}

// targets iterates over the images to pin: those without a digest and, when a
// refresh is asked for, those whose digest is ours.
func (s Scope) targets() iter.Seq[target] {
	var ours []string
	if s.refreshed() {
		ours = strings.Split(s.Old.Metadata.Annotations[PinnedAnnotation], ",")
	}
	return func(yield func(target) bool) {
		for i := range s.Workload.Images() {
			if s.Image != nil && !s.Image(i) {
				continue
			}
			t := target{Image: i, asked: *i.Reference}
			if ref, err := image.ParseReference(*i.Reference); err == nil {
				t.tag, t.digest = ref, ref.Digest()
			}
			if t.digest != "" {
				if t.tag.Tag() == "" || !slices.Contains(ours, i.Name) {
					continue
				}
				t.asked, _, _ = strings.Cut(t.asked, "@")
				t.tag, _ = image.ParseReference(t.asked)
			}
			if !yield(t) {
				return
			}
		}
	}
}

// sticky is the digest that the same place had for the same repository and tag,
// empty where it is to be resolved.
func (s Scope) sticky(t target) string {
	if s.Old == nil || t.tag == (image.Reference{}) || s.refreshed() {
		return ""
	}
	for before := range s.Old.Images() {
		if before.Name != t.Name || (before.Container == nil) != (t.Container == nil) {
			continue
		}
		old, err := image.ParseReference(*before.Reference)
		if err == nil && old.Digest() != "" && old.Name() == t.tag.Name() && old.Tag() == t.tag.Tag() {
			return old.Digest()
		}
	}
	return ""
}

// recordPinned adds names to the list of what was pinned here.
func (s Scope) recordPinned(r *Recorder, names []string) {
	if len(names) == 0 {
		return
	}
	recorded := s.Workload.Metadata.Annotations[PinnedAnnotation]
	if recorded != "" {
		names = append(strings.Split(recorded, ","), names...)
	}
	slices.Sort(names)
	if list := strings.Join(slices.Compact(names), ","); list != recorded {
		r.SetAnnotation(s.Workload, PinnedAnnotation, list)
	}
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

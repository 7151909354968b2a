package mutate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// DigestsRule is the key of the section that this file carries out.
const DigestsRule = "digests"

// Annotations of a workload's own metadata that Digests reads and writes.
const (
	// RefreshAnnotation has tags resolved anew when it gets another value.
	RefreshAnnotation = "portcullis.dev/refresh"
	// PinnedAnnotation lists the containers and volumes whose digest Digests wrote,
	// each with the digest's first twelve digits: app=84f012ae0eaf,web=c9f8a3a360d9.
	// A digest that is not listed is somebody else's and is never touched.
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
	// StickyOnly is for what is immutable: a tag may become the digest again that
	// it was before, so that applying the same manifest again changes nothing.
	StickyOnly bool
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
	resolved := map[string]bool{}
	for _, t := range s.targets() {
		fact := facts[t.asked]
		switch {
		case t.sticky != "":
			r.SetImage(t.Image, t.pin(t.sticky, fact), pinReason(t.Image, "what it was before the update"))
		case fact.Digest == "":
			f := notPinned(t.Image, fact.Err)
			f.Advisory, f.Before = t.digest != "", t.before
			findings = append(findings, f)
		case fact.Digest != t.digest:
			r.SetImage(t.Image, t.pin(fact.Digest, fact), pinReason(t.Image, "its registry"))
			resolved[t.Name] = true
		}
	}
	if !s.Workload.Kind.IsPod() && !s.StickyOnly { // neither is ever refreshed
		s.record(r, resolved)
	}
	return findings
}

func pinReason(i pod.Image, evidence string) Reason {
	why := Reason{Rule: DigestsRule, Evidence: evidence}
	if i.Container != nil {
		why.Container = i.Name
	}
	return why
}

// Pinned are the references that Digests will ask about or has an answer for, by
// reference as written, each once. Another mutator that looks inside an image has to
// look inside the one that will run: of a tag that keeps its digest, at that digest.
// A reference that stands in several places may be pinned in several ways.
func (s Scope) Pinned() map[string][]string {
	all := map[string][]string{}
	seen := map[[2]string]bool{}
	for _, t := range s.targets() {
		asked := t.asked
		if t.sticky != "" {
			asked = t.pin(t.sticky, image.Fact{})
		}
		written := *t.Reference
		if pair := [2]string{written, asked}; !seen[pair] {
			seen[pair] = true
			all[written] = append(all[written], asked)
		}
	}
	return all
}

// DigestNeeds are the images that Digests will ask for.
func DigestNeeds(s Scope) []image.Need {
	var needs []image.Need
	fresh := s.Refreshed()
	for _, t := range s.targets() {
		if t.sticky == "" {
			needs = append(needs, image.Need{Image: t.asked, Digest: true, Fresh: fresh})
		}
	}
	return needs
}

// Unpinned are the findings of a policy that only watches: the images that
// Digests would pin. No registry is asked for that.
func Unpinned(s Scope) []pod.Finding {
	var findings []pod.Finding
	for _, t := range s.targets() {
		if t.digest == "" && t.sticky == "" {
			findings = append(findings, finding(t.Image, "it names a tag, which may stand for another image tomorrow",
				"add its digest (@sha256:...), or let Portcullis add it with mode Enforce"))
		}
	}
	return findings
}

// Refreshed reports whether an update asks for tags to be resolved anew. Taking
// an annotation away asks for nothing.
func Refreshed(old, updated *pod.Workload) bool {
	return asks(old.Metadata.Annotations, updated.Metadata.Annotations, RefreshAnnotation) ||
		asks(templateAnnotations(old), templateAnnotations(updated), RefreshAnnotation) ||
		restarted(templateAnnotations(old)[restartAnnotation], templateAnnotations(updated)[restartAnnotation])
}

// restarted reports whether there is a later restart. An earlier one comes back
// with kubectl rollout undo, which asks for what ran then.
func restarted(old, updated string) bool {
	before, errBefore := time.Parse(time.RFC3339, old)
	after, errAfter := time.Parse(time.RFC3339, updated)
	if errBefore != nil || errAfter != nil {
		return updated != "" && updated != old
	}
	return after.After(before)
}

// Refreshed reports whether the update asks for tags to be resolved anew.
func (s Scope) Refreshed() bool { return s.Old != nil && Refreshed(s.Old, s.Workload) }

func asks(old, updated map[string]string, key string) bool {
	return updated[key] != "" && updated[key] != old[key]
}

func templateAnnotations(w *pod.Workload) map[string]string {
	if w.Template == nil {
		return nil
	}
	return w.Template.Annotations
}

// target is an image to pin.
type target struct {
	pod.Image
	asked  string // the reference without a digest, as written
	digest string // what it is pinned to already, in a refresh
	sticky string // the digest that the same place had for the same tag, unless a refresh is asked for
	before bool   // whether the same place had the same reference, unpinned
}

// pin is the reference with a digest. Who has found out the digest has read the
// reference already, which is half of what a mutation costs.
func (t target) pin(digest string, fact image.Fact) string {
	if fact.Reference.String() == t.asked {
		return fact.Reference.Pin(digest)
	}
	tag, _ := image.ParseReference(t.asked)
	return tag.Pin(digest)
}

// targets are the images to pin: those without a digest and, when a refresh is
// asked for, those whose digest is ours.
func (s Scope) targets() []target {
	var all []target
	var before map[string]string
	var ours map[string]string
	refreshed := s.Refreshed() && !s.StickyOnly
	if s.Old != nil {
		before = references(s.Old)
		ours = pinned(s.Old)
	}
	for i := range s.Workload.Images() {
		if s.Image != nil && !s.Image(i) {
			continue
		}
		t := target{Image: i, asked: *i.Reference}
		var digest string
		if t.asked, digest, _ = strings.Cut(*i.Reference, "@"); digest != "" {
			if !refreshed || ours[i.Name] != short(digest) {
				if _, err := image.ParseReference(*i.Reference); err == nil {
					continue // somebody else's, or nothing to do
				}
				t.asked, digest = *i.Reference, ""
			}
		}
		t.digest = digest
		if t.digest != "" && !strings.Contains(t.asked[strings.LastIndexByte(t.asked, '/')+1:], ":") {
			continue // a digest without a tag stands for nothing else
		}
		old, existed := before[place(i)]
		t.before = existed && old == *i.Reference
		if existed && !refreshed {
			t.sticky = stickyDigest(old, t.asked)
		}
		if s.StickyOnly && t.sticky == "" {
			continue
		}
		all = append(all, t)
	}
	return all
}

// references are the images of a workload by their place.
func references(w *pod.Workload) map[string]string {
	all := map[string]string{}
	for i := range w.Images() {
		all[place(i)] = *i.Reference
	}
	return all
}

func place(i pod.Image) string {
	if i.Container == nil {
		return "volume " + i.Name
	}
	return "container " + i.Name
}

// stickyDigest is the digest of an old reference, if it is one of the same
// repository and tag.
func stickyDigest(old, asked string) string {
	if !strings.Contains(old, "@") {
		return ""
	}
	tag, err1 := image.ParseReference(asked)
	ref, err2 := image.ParseReference(old)
	if err1 != nil || err2 != nil || ref.Name() != tag.Name() || ref.Tag() != tag.Tag() {
		return ""
	}
	return ref.Digest()
}

// short is how PinnedAnnotation writes a digest.
func short(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(len(hex), 12)]
}

// pinned reads PinnedAnnotation: digests by the name of container or volume.
func pinned(w *pod.Workload) map[string]string {
	all := map[string]string{}
	for entry := range strings.SplitSeq(w.Metadata.Annotations[PinnedAnnotation], ",") {
		if name, digest, ok := strings.Cut(entry, "="); ok {
			all[name] = digest
		}
	}
	return all
}

// record brings PinnedAnnotation up to date: it lists what was resolved now, and
// of what was listed before that which is still there.
func (s Scope) record(r *Recorder, resolved map[string]bool) {
	written, exists := s.Workload.Metadata.Annotations[PinnedAnnotation]
	if len(resolved) == 0 && !exists && (s.Old == nil || s.Old.Metadata.Annotations[PinnedAnnotation] == "") {
		return
	}
	listed := map[string]string{}
	if s.Old != nil {
		listed = pinned(s.Old)
	}
	maps.Copy(listed, pinned(s.Workload)) // kubectl rollout undo brings both back, the digest and its entry
	var entries []string
	for i := range s.Workload.Images() {
		_, digest, _ := strings.Cut(*i.Reference, "@")
		if digest != "" && (resolved[i.Name] || listed[i.Name] == short(digest)) {
			entries = append(entries, i.Name+"="+short(digest))
		}
	}
	slices.Sort(entries)
	if list := strings.Join(slices.Compact(entries), ","); list != written {
		r.SetAnnotation(s.Workload, PinnedAnnotation, list, Reason{Rule: DigestsRule, Evidence: "the digests written"})
	}
}

func notPinned(i pod.Image, err error) pod.Finding {
	const fix = "add its digest (@sha256:...)"
	var why *image.Error
	switch {
	case !errors.As(err, &why):
		f := finding(i, "it names a tag, and no registry was asked for its digest", fix)
		f.NoAnswer = true
		return f
	case why.Reason == image.InvalidReference:
		return finding(i, "a kubelet does not accept it as an image reference", "write it as [registry/]repository[:tag][@sha256:digest]")
	default:
		f := finding(i, fmt.Sprintf("it cannot be pinned to a digest: %s", why), fix)
		f.NoAnswer = why.Reason.NoAnswer()
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

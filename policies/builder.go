package policies

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kubeversion "k8s.io/component-base/version"
	psapi "k8s.io/pod-security-admission/api"
)

// builder turns the strings of one policy into types and notes each one that is not valid, so that all problems are found in one pass.
type builder struct {
	problems Problems
}

func (b *builder) refuse(path *field.Path, format string, args ...any) {
	b.problems = append(b.problems, Problem{Field: path.String(), Message: fmt.Sprintf(format, args...)})
}

// oneOf returns value, which must be one of allowed. The noun carries its article: "a mode".
func oneOf[T ~string](b *builder, path *field.Path, value T, noun string, allowed []T) T {
	if !slices.Contains(allowed, value) {
		b.refuse(path, "%s is not %s; use %s", quote(string(value)), noun, either(allowed))
	}
	return value
}

func (b *builder) ruleMode(path *field.Path, mode *Mode) *Mode {
	if mode != nil {
		oneOf(b, path, *mode, "a mode", Modes())
	}
	return mode
}

func (b *builder) metadata(meta *metav1.ObjectMeta) {
	b.name(meta)
	if meta.Namespace != "" {
		b.refuse(field.NewPath("metadata", "namespace"), "%s is a namespace, and a PodPolicy is cluster-scoped; leave it out and use spec.match.namespaces", quote(meta.Namespace))
	}
}

func (b *builder) name(meta *metav1.ObjectMeta) {
	path := field.NewPath("metadata", "name")
	if meta.Name == "" {
		b.refuse(path, "is missing; findings are reported under it")
	} else if faults := validation.IsDNS1123Subdomain(meta.Name); len(faults) > 0 {
		b.refuse(path, "%s is not a name: %s", quote(meta.Name), strings.Join(faults, "; "))
	}
}

// nameForm says what the names of most objects are (RFC 1123).
const nameForm = "use up to 253 lower-case letters, digits, - and . (neither first nor last)"

// globs leaves out what is no glob: there is a problem for it.
func (b *builder) globs(path *field.Path, patterns []string) []Glob {
	if !b.atMost(path, len(patterns), 256) {
		return nil
	}
	globs := make([]Glob, 0, len(patterns))
	for i, pattern := range patterns {
		glob, err := ParseGlob(pattern)
		switch {
		case err != nil:
			b.refuse(path.Index(i), "%v", err)
			glob = Glob{}
		case slices.Contains(globs, glob):
			b.refuse(path.Index(i), "%s is listed twice", quote(pattern))
		}
		globs = append(globs, glob)
	}
	return globs
}

// images leaves out what is no pattern, as globs does.
func (b *builder) images(path *field.Path, patterns []string) []ImagePattern {
	if !b.atMost(path, len(patterns), 256) {
		return nil
	}
	images := make([]ImagePattern, 0, len(patterns))
	for i, text := range patterns {
		pattern, err := ParseImagePattern(text)
		if err != nil {
			b.refuse(path.Index(i), "%v", err)
		} else if slices.ContainsFunc(images, func(p ImagePattern) bool { return p.text == pattern.text }) {
			b.refuse(path.Index(i), "%s is listed twice", quote(text))
		}
		images = append(images, pattern)
	}
	return images
}

// version is the one of the Pod Security Standards.
func (b *builder) version(path *field.Path, text string) (version psapi.Version, ok bool) {
	version, err := psapi.ParseVersion(text)
	if err != nil {
		b.refuse(path, "%s is not a version; use latest, or v1 and a minor version such as v1.36", quote(text))
		return version, false
	}
	if newest := newestVersion(); !version.Latest() && newest.Older(version) {
		b.refuse(path, "%s is not known here, where the newest version is %s; use latest", quote(text), newest.String())
		return version, false
	}
	return version, true
}

// newestVersion is the one of Kubernetes whose Pod Security Standards are built in.
func newestVersion() psapi.Version {
	text, _, _ := strings.Cut(kubeversion.DefaultKubeBinaryVersion, "-")
	newest, err := psapi.ParseVersion("v" + text)
	if err != nil {
		return psapi.LatestVersion() // of which none is newer
	}
	return newest
}

// atMost keeps to the limits of the CRD. The API server needs them to bound the cost of the CEL rules, and here they bound the comparing of
// entries with each other: a list that is too long is not looked at.
func (b *builder) atMost(path *field.Path, count, limit int) bool {
	if count > limit {
		b.refuse(path, "has %d entries; %d is the limit", count, limit)
	}
	return count <= limit
}

package policies

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ProbeCatalog are probes by image. The first entry that names an image decides: those of the policy in their order, then those that are
// shipped. An image whose name is written out is found by it; the others are tried one by one.
//
// +kubebuilder:object:generate=false
type ProbeCatalog struct {
	entries []probeEntry
	exact   map[string]int // the first entry that names an image, by its canonical name
	globs   []probeGlob    // in the order of their entries
	// restarts marks a catalog with a liveness or startup probe in it.
	restarts bool
	// ports are those that entries ask for; anyPort marks a catalog with an entry that asks for none.
	ports   []int32
	anyPort bool
	// lastParts are the last parts of the names in exact.
	lastParts map[string]bool
}

type probeEntry struct {
	ProbeSet
	// catalog says whose entry it is.
	catalog string
	// What a shipped entry asks of the container: a TCP port that it must declare, and beginnings that its arguments must not have.
	port       int32
	unlessArgs []string
}

type probeGlob struct {
	pattern ImagePattern
	entry   int
}

// Restarts tells whether any entry has a liveness or a startup probe.
func (c *ProbeCatalog) Restarts() bool { return c.restarts }

// MayKnow tells whether an entry can count for the container: one that is shipped wants a port that it declares, and one without a glob the
// last part of its image's name. To read the whole reference costs more than a review has to spare.
func (c *ProbeCatalog) MayKnow(container *corev1.Container) bool {
	ofPort := func(p corev1.ContainerPort) bool { return slices.Contains(c.ports, p.ContainerPort) }
	return (c.anyPort || slices.ContainsFunc(container.Ports, ofPort)) && (len(c.globs) > 0 || c.lastParts[lastPart(container.Image)])
}

// lastPart is the last part of an image's name: nginx of docker.io/library/nginx:1.27.
func lastPart(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image, _, _ = strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return image
}

// Find returns the probes of a container whose image has the given canonical name, and what they derive from, to be read after "from". What is
// returned is shared: copy it before it is changed.
func (c *ProbeCatalog) Find(name string, container *corev1.Container) (set ProbeSet, evidence string, found bool) {
	first, ok := c.exact[name]
	if !ok {
		first = len(c.entries)
	}
	for _, glob := range c.globs {
		if glob.entry >= first {
			break
		}
		if glob.pattern.Match(name) {
			first, name = glob.entry, glob.pattern.text
			break
		}
	}
	if first == len(c.entries) || !c.entries[first].suits(container) {
		return ProbeSet{}, "", false
	}
	e := &c.entries[first]
	return e.ProbeSet, e.catalog + " entry for " + name, true
}

// suits reports whether a container runs what the entry is for. An image may run another of its programs, or the same one on another port,
// which the manifest does not always tell: only a port that it declares does.
func (e *probeEntry) suits(c *corev1.Container) bool {
	if e.port == 0 {
		return true // the policy's own: it says so
	}
	declared := slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return p.ContainerPort == e.port && (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP)
	})
	moves := func(arg string) bool {
		return slices.ContainsFunc(e.unlessArgs, func(prefix string) bool { return strings.HasPrefix(arg, prefix) })
	}
	return declared && !slices.ContainsFunc(c.Command, moves) && !slices.ContainsFunc(c.Args, moves)
}

func (c *ProbeCatalog) add(e probeEntry, patterns []ImagePattern) {
	index := len(c.entries)
	c.entries = append(c.entries, e)
	c.restarts = c.restarts || e.Liveness != nil || e.Startup != nil
	c.anyPort = c.anyPort || e.port == 0
	if !slices.Contains(c.ports, e.port) {
		c.ports = append(c.ports, e.port)
	}
	for _, pattern := range patterns {
		if strings.Contains(pattern.text, "*") {
			c.globs = append(c.globs, probeGlob{pattern, index})
			continue
		}
		if _, known := c.exact[pattern.text]; !known {
			c.exact[pattern.text] = index
			c.lastParts[lastPart(pattern.text)] = true
		}
	}
}

// probeCatalog takes in the policy's entries and, if it asks for them, those that are shipped.
func (b *builder) probeCatalog(path *field.Path, probes *ProbeInjection) *ProbeCatalog {
	catalog := &ProbeCatalog{exact: map[string]int{}, lastParts: map[string]bool{}}
	at := path.Child("catalog")
	if b.atMost(at, len(probes.Catalog), 128) {
		for i := range probes.Catalog {
			b.probeEntry(catalog, at.Index(i), &probes.Catalog[i])
		}
	}
	if oneOf(b, path.Child("defaultCatalog"), probes.DefaultCatalog, "a use of a catalog", CatalogUses()) != CatalogExclude {
		for _, shipped := range ShippedProbes() {
			b.shippedProbes(catalog, &shipped)
		}
	}
	return catalog
}

func (b *builder) probeEntry(catalog *ProbeCatalog, path *field.Path, e *ProbeCatalogEntry) {
	if len(e.Images) == 0 {
		b.refuse(path.Child("images"), "is empty; name the images that have these probes")
	}
	if b.atMost(path.Child("images"), len(e.Images), 64) {
		catalog.add(probeEntry{ProbeSet: b.probeSet(path, e), catalog: "the policy's catalog"}, b.images(path.Child("images"), e.Images))
	}
}

func (b *builder) shippedProbes(catalog *ProbeCatalog, s *ShippedProbe) {
	path := field.NewPath("shipped catalog").Key(s.Images[0])
	e := probeEntry{ProbeSet: b.probeSet(path, &s.ProbeCatalogEntry), catalog: "the catalog", port: s.Port, unlessArgs: s.UnlessArgs}
	catalog.add(e, b.images(path.Child("images"), s.Images))
}

func (b *builder) probeSet(path *field.Path, e *ProbeCatalogEntry) ProbeSet {
	switch {
	case e.Readiness == nil && e.Liveness == nil && e.Startup == nil:
		b.refuse(path, "names no probe; add readiness, liveness or startup")
	case e.Liveness != nil && e.Startup == nil:
		b.refuse(path, "liveness without startup restarts a container that starts slowly; add startup")
	}
	return ProbeSet{
		Readiness: b.probe(path, Readiness, e.Readiness),
		Liveness:  b.probe(path, Liveness, e.Liveness),
		Startup:   b.probe(path, Startup, e.Startup),
	}
}

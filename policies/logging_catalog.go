package policies

import (
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// RuntimeCatalog knows what runs in images, and what makes it log to its standard output. It is indexed by what an image says, so that the
// length of the catalog costs nothing.
//
// +kubebuilder:object:generate=false
type RuntimeCatalog struct {
	runtimes []compiledRuntime

	byName   map[string][]int // exact image names
	patterns []imageMark      // other images
	byEnv    map[string][]envMark
	prefixes []envMark
}

// imageMark and envMark say that an image has the runtime with an index.
type (
	imageMark struct {
		pattern ImagePattern
		runtime int
	}
	envMark struct {
		prefix  string // of the name; for prefixes only
		value   string // glob; for any value *
		runtime int
	}
)

// compiledRuntime is an entry of a catalog.
type compiledRuntime struct {
	Name          string
	Env           []RuntimeVariable
	DatadogSource string

	images   []ImagePattern
	imageEnv []string
}

// Runtime is what an image is recognised to have.
//
// +kubebuilder:object:generate=false
type Runtime struct {
	*compiledRuntime
	// By is the variable of the image's ENV that it is recognised by, empty for the image's name.
	By string
}

func newRuntime(entry *LoggingRuntime, images []ImagePattern) compiledRuntime {
	return compiledRuntime{Name: entry.Name, Env: entry.Env, images: images, imageEnv: entry.ImageEnv}
}

// withShipped adds the shipped runtimes that no entry replaces.
func withShipped(runtimes []compiledRuntime) []compiledRuntime {
	own := runtimeNames(runtimes)
	for _, entry := range ShippedRuntimes() {
		if slices.Contains(own, entry.Name) {
			continue
		}
		var images []ImagePattern
		for _, text := range entry.Images {
			if pattern, err := ParseImagePattern(text); err == nil { // a test parses them all
				images = append(images, pattern)
			}
		}
		shipped := newRuntime(&entry.LoggingRuntime, images)
		shipped.DatadogSource = entry.DatadogSource
		runtimes = append(runtimes, shipped)
	}
	return runtimes
}

func newRuntimeCatalog(runtimes []compiledRuntime, format LogFormat) *RuntimeCatalog {
	c := &RuntimeCatalog{runtimes: runtimes, byName: map[string][]int{}, byEnv: map[string][]envMark{}}
	for i := range runtimes {
		r := &runtimes[i]
		if format == LogFormatUnchanged {
			r.Env = slices.DeleteFunc(slices.Clone(r.Env), func(v RuntimeVariable) bool { return v.Structured })
		}
		for _, pattern := range r.images {
			if pattern.deep || strings.Contains(pattern.text, "*") {
				c.patterns = append(c.patterns, imageMark{pattern, i})
				continue
			}
			c.byName[pattern.text] = append(c.byName[pattern.text], i)
		}
		for _, text := range r.imageEnv {
			name, value, valued := strings.Cut(text, "=")
			if !valued {
				value = "*"
			}
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				c.prefixes = append(c.prefixes, envMark{prefix, value, i})
				continue
			}
			c.byEnv[name] = append(c.byEnv[name], envMark{"", value, i})
		}
	}
	return c
}

// Empty tells whether there is nothing to recognise.
func (c *RuntimeCatalog) Empty() bool { return len(c.runtimes) == 0 }

// Recognise appends to dst what an image has, in the order of the catalog. The name is canonical as image.Reference.Name makes it, and env is
// the ENV (NAME=value) of each platform that may run. Platforms that disagree are no evidence: then there is nothing.
func (c *RuntimeCatalog) Recognise(dst []Runtime, name string, env iter.Seq[[]string]) []Runtime {
	start, first := len(dst), true
	for variables := range env {
		if first {
			dst, first = c.recognise(dst, name, variables), false
			continue
		}
		var buffer [4]Runtime
		same := func(a, b Runtime) bool { return a.compiledRuntime == b.compiledRuntime }
		if !slices.EqualFunc(dst[start:], c.recognise(buffer[:0], name, variables), same) {
			return dst[:start]
		}
	}
	return dst
}

func (c *RuntimeCatalog) recognise(dst []Runtime, name string, env []string) []Runtime {
	start := len(dst)
	add := func(index int, by string) {
		r := &c.runtimes[index]
		if !slices.ContainsFunc(dst[start:], func(known Runtime) bool { return known.compiledRuntime == r }) {
			dst = append(dst, Runtime{r, by})
		}
	}
	for _, index := range c.byName[name] {
		add(index, "")
	}
	for i := range c.patterns {
		if c.patterns[i].pattern.Match(name) {
			add(c.patterns[i].runtime, "")
		}
	}
	for _, variable := range env {
		by, value, _ := strings.Cut(variable, "=")
		for _, mark := range c.byEnv[by] {
			if matchStars(mark.value, value) {
				add(mark.runtime, by)
			}
		}
		for i := range c.prefixes {
			if mark := &c.prefixes[i]; strings.HasPrefix(by, mark.prefix) && matchStars(mark.value, value) {
				add(mark.runtime, by)
			}
		}
	}
	if found := dst[start:]; len(found) > 1 {
		slices.SortFunc(found, func(a, b Runtime) int { return c.index(a) - c.index(b) })
	}
	return dst
}

func (c *RuntimeCatalog) index(r Runtime) int {
	for i := range c.runtimes {
		if &c.runtimes[i] == r.compiledRuntime {
			return i
		}
	}
	return -1
}

// Lacking appends to dst the variables of the runtime about which nobody has decided: neither the container by its env nor the image by the
// ENV of any of its platforms.
func (r Runtime) Lacking(dst []corev1.EnvVar, container []corev1.EnvVar, image iter.Seq[[]string]) []corev1.EnvVar {
	for i := range r.Env {
		v := &r.Env[i]
		if !v.decided(container) && !v.decidedByImage(image) {
			dst = append(dst, corev1.EnvVar{Name: v.Name, Value: v.Value})
		}
	}
	return dst
}

// Structured tells whether the runtime writes JSON: a variable that makes it do so has its value in the container, or in the image on all of
// its platforms.
func (r Runtime) Structured(container []corev1.EnvVar, image iter.Seq[[]string]) bool {
	for i := range r.Env {
		v := &r.Env[i]
		if !v.Structured {
			continue
		}
		set := slices.IndexFunc(container, func(e corev1.EnvVar) bool { return e.Name == v.Name })
		if set >= 0 && container[set].ValueFrom == nil && strings.EqualFold(container[set].Value, v.Value) {
			return true
		}
		if set < 0 && !v.decided(container) && v.setOnAll(image) {
			return true
		}
	}
	return false
}

func (v *RuntimeVariable) decided(container []corev1.EnvVar) bool {
	for i := range container {
		if v.decidedBy(container[i].Name) {
			return true
		}
	}
	return false
}

func (v *RuntimeVariable) decidedByImage(image iter.Seq[[]string]) bool {
	for env := range image {
		for _, variable := range env {
			if name, _, _ := strings.Cut(variable, "="); v.decidedBy(name) {
				return true
			}
		}
	}
	return false
}

func (v *RuntimeVariable) setOnAll(image iter.Seq[[]string]) bool {
	found := false
	for env := range image {
		found = slices.ContainsFunc(env, func(variable string) bool {
			name, value, _ := strings.Cut(variable, "=")
			return name == v.Name && strings.EqualFold(value, v.Value)
		})
		if !found {
			return false
		}
	}
	return found
}

// decidedBy tells whether a variable is v or one that decides the same. Upper and lower case are the same: they are to .NET, and to Windows.
func (v *RuntimeVariable) decidedBy(name string) bool {
	if strings.EqualFold(name, v.Name) {
		return true
	}
	for _, other := range v.Unless {
		if prefix, ok := strings.CutSuffix(other, "*"); ok {
			if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
				return true
			}
			continue
		}
		if strings.EqualFold(name, other) {
			return true
		}
	}
	return false
}

// Lacking appends to dst the variables for every container that this one does not set.
func (l *CompiledLogging) Lacking(dst []corev1.EnvVar, container []corev1.EnvVar) []corev1.EnvVar {
	for _, v := range l.Env {
		if !slices.ContainsFunc(container, func(e corev1.EnvVar) bool { return strings.EqualFold(e.Name, v.Name) }) {
			dst = append(dst, corev1.EnvVar{Name: v.Name, Value: v.Value})
		}
	}
	return dst
}

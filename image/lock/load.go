package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/portcullis-dev/portcullis/image"
)

// maxFile bounds the file, in bytes: that is some 30,000 images.
const maxFile = 4 << 20

// Load reads a lock file. It is strict, since a digest that is passed over is one
// that a registry is asked for in its place: the error has every problem on a line
// of its own, as source:line: field: got ..., want ....
func Load(data []byte, source string) (*Lock, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: is larger than %d MiB", source, maxFile>>20)
	}
	if i := bytes.Index(append([]byte("\n"), data...), []byte("\n<<<<<<< ")); i >= 0 {
		return nil, fmt.Errorf("%s:%d: has the marks of a merge that is not finished; keep one side of each, and delete the marks", source, bytes.Count(data[:i], []byte("\n"))+1)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: is empty, want apiVersion: %s, kind: %s", source, APIVersion, Kind)
	case err != nil:
		return nil, fmt.Errorf("%s: reading YAML: %w", source, err)
	}
	r := &reader{source: source, lock: New()}
	r.root(document.Content[0])
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		r.problems = append(r.problems, fmt.Errorf("%s: got more than one document, want one", source))
	}
	if err := errors.Join(r.problems...); err != nil {
		return nil, err
	}
	return r.lock, nil
}

type reader struct {
	source   string
	lock     *Lock
	problems []error
}

func (r *reader) refuse(n *yaml.Node, field, format string, args ...any) {
	text := r.source + ":" + strconv.Itoa(n.Line) + ": "
	if field != "" {
		text += field + ": "
	}
	r.problems = append(r.problems, errors.New(text+fmt.Sprintf(format, args...)))
}

func (r *reader) root(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.refuse(n, "", "got %s, want an object with apiVersion, kind and images", describe(n))
		return
	}
	fields := map[string]*yaml.Node{}
	for key, value := range r.entries(n, "") {
		switch key.Value {
		case "apiVersion", "kind", "images":
			fields[key.Value] = value
		default:
			r.refuse(key, strconv.Quote(key.Value), "is not a field of a lock; want apiVersion, kind and images")
		}
	}
	r.constant(n, fields, "apiVersion", APIVersion)
	r.constant(n, fields, "kind", Kind)
	switch images := fields["images"]; {
	case images == nil:
		r.refuse(n, "images", "is missing; write images: {} for a lock without entries")
	case images.Kind != yaml.MappingNode:
		r.refuse(images, "images", "got %s, want an object of digests by image and tag", describe(images))
	default:
		for key, value := range r.entries(images, "images") {
			r.image(key, value)
		}
	}
}

// entries are those of a mapping; a key that comes twice is refused.
func (r *reader) entries(n *yaml.Node, field string) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if line, again := first[key.Value]; again {
				r.refuse(key, field, "%s is on line %d already; keep one of the two", strconv.Quote(key.Value), line)
				continue
			}
			first[key.Value] = key.Line
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

func (r *reader) constant(root *yaml.Node, fields map[string]*yaml.Node, name, want string) {
	switch n := fields[name]; {
	case n == nil:
		r.refuse(root, name, "is missing, want %s", want)
	case n.Value != want:
		r.refuse(n, name, "got %s, want %s", describe(n), want)
	}
}

var digestForm = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

// image takes in one line.
func (r *reader) image(name, digest *yaml.Node) {
	ref, err := image.ParseReference(name.Value)
	switch {
	case name.Kind != yaml.ScalarNode || err != nil:
		r.refuse(name, "images", "got %s, want an image and its tag, such as docker.io/library/nginx:1.29", describe(name))
	case key(ref) == "":
		r.refuse(name, "images", "got %s, want the image and its tag alone; its digest goes after the colon", describe(name))
	case key(ref) != name.Value:
		r.refuse(name, "images", "got %s, want it in full: %s", describe(name), key(ref))
	case digest.Kind != yaml.ScalarNode || !digestForm.MatchString(digest.Value):
		r.refuse(digest, "images["+strconv.Quote(name.Value)+"]", "got %s, want sha256: and 64 hex digits in lower case", describe(digest))
	default:
		r.lock.digests[name.Value] = digest.Value
	}
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Value == "":
		return "nothing"
	}
	const longest = 100
	text := n.Value
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return strconv.Quote(text)
}

package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

const (
	configAPIVersion = "portcullis.dev/v1alpha1"
	configKind       = "RegistryConfig"
)

// LoadConfig reads a RegistryConfig, in YAML or JSON. It is strict: what is unknown, written twice, of the wrong type or out of
// range is a problem, and the error has every problem on a line of its own, as source:line: field: got ..., want ....
func LoadConfig(data []byte, source string) (Config, error) {
	l := &loader{source: source}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return Config{}, fmt.Errorf("%s: is empty, want apiVersion: %s, kind: %s", source, configAPIVersion, configKind)
	case err != nil:
		return Config{}, fmt.Errorf("%s: reading YAML: %w", source, err)
	}
	cfg := l.config(doc.Content[0])
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		l.problems = append(l.problems, fmt.Errorf("%s: got more than one document, want one", source))
	}
	if err := errors.Join(l.problems...); err != nil {
		return Config{}, err
	}
	return cfg.withDefaults(), nil
}

// loader walks the document, so that each problem has its line, and one problem does not hide the next.
type loader struct {
	source   string
	problems []error
}

// visit reads the value at one field path.
type visit func(n *yaml.Node, path string)

func (l *loader) problem(n *yaml.Node, path, format string, args ...any) {
	at := l.source + ":" + strconv.Itoa(n.Line) + ": "
	if path != "" {
		at += path + ": "
	}
	l.problems = append(l.problems, errors.New(at+fmt.Sprintf(format, args...)))
}

func (l *loader) config(n *yaml.Node) Config {
	var cfg Config
	var version, kind string
	l.mapping(n, "", map[string]visit{
		"apiVersion": l.text(&version),
		"kind":       l.text(&kind),
		"allow": func(n *yaml.Node, path string) {
			l.mapping(n, path, map[string]visit{
				"hosts": l.list(l.host(&cfg.AllowHosts)),
				"cidrs": l.list(l.cidr(&cfg.AllowCIDRs)),
			})
		},
		"insecure": l.list(l.host(&cfg.Insecure)),
		"mirrors":  l.list(l.mirror(&cfg.Mirrors)),
		"timeout":  l.duration(&cfg.Timeout, 100*time.Millisecond, time.Minute),
		"tagTTL":   l.duration(&cfg.TagTTL, time.Second, 24*time.Hour),
		"maxStale": l.duration(&cfg.MaxStale, 0, 90*24*time.Hour),
	})
	if version != configAPIVersion {
		l.problem(n, "apiVersion", "got %s, want %q", quote(version), configAPIVersion)
	}
	if kind != configKind {
		l.problem(n, "kind", "got %s, want %q", quote(kind), configKind)
	}
	return cfg
}

// mapping visits the fields of an object; null is an empty one.
func (l *loader) mapping(n *yaml.Node, path string, fields map[string]visit) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.problem(n, path, "got %s, want an object", kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		field, known := fields[key.Value]
		if !known || key.Kind != yaml.ScalarNode {
			l.problem(key, path, "unknown field %s", quote(key.Value))
			continue
		}
		if seen[key.Value] {
			l.problem(key, at, "is written twice")
			continue
		}
		seen[key.Value] = true
		field(value, at)
	}
}

// list visits the elements of a list; null is an empty one.
func (l *loader) list(element visit) visit {
	return func(n *yaml.Node, path string) {
		if isNull(n) {
			return
		}
		if n.Kind != yaml.SequenceNode {
			l.problem(n, path, "got %s, want a list", kindOf(n))
			return
		}
		for i, e := range n.Content {
			element(e, path+"["+strconv.Itoa(i)+"]")
		}
	}
}

// scalar is the text of a value as it is written: a bare 3 is "3".
func (l *loader) scalar(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		l.problem(n, path, "got %s, want a text", kindOf(n))
		return "", false
	}
	return n.Value, true
}

func (l *loader) text(into *string) visit {
	return func(n *yaml.Node, path string) { *into, _ = l.scalar(n, path) }
}

func (l *loader) duration(into *time.Duration, least, most time.Duration) visit {
	return func(n *yaml.Node, path string) {
		s, ok := l.scalar(n, path)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			l.problem(n, path, "got %s, want a duration from %s to %s, such as 3s or 1h30m", quote(s), least, most)
			return
		}
		if d == 0 {
			d = -1 // zero in Config means the default; here the admin said never
		}
		*into = d
	}
}

func (l *loader) host(into *[]string) visit {
	return func(n *yaml.Node, path string) {
		s, ok := l.scalar(n, path)
		if !ok {
			return
		}
		if !validHost(s) {
			l.problem(n, path, "got %s, want a host with an optional port, such as registry.example.com:5000", quote(s))
			return
		}
		*into = append(*into, CanonicalRegistry(s))
	}
}

func (l *loader) cidr(into *[]netip.Prefix) visit {
	return func(n *yaml.Node, path string) {
		s, ok := l.scalar(n, path)
		if !ok {
			return
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil || p.Addr().Is4In6():
			l.problem(n, path, "got %s, want a CIDR, such as 10.20.0.0/16", quote(s))
		case p != p.Masked():
			l.problem(n, path, "got %s, want %s", quote(s), p.Masked())
		case p.Bits() < 7: // fc00::/7 is the widest range that somebody can own
			l.problem(n, path, "got %s, want only the ranges that registries are in", quote(s))
		default:
			*into = append(*into, p)
		}
	}
}

func (l *loader) mirror(into *[]Mirror) visit {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode {
			l.problem(n, path, "got %s, want from and to", kindOf(n))
			return
		}
		var from, to []string
		l.mapping(n, path, map[string]visit{
			"from": l.prefix(&from),
			"to":   l.list(l.prefix(&to)),
		})
		if len(from) == 1 && len(to) > 0 {
			*into = append(*into, Mirror{From: from[0], To: to})
			return
		}
		l.problem(n, path, "want from, and at least one valid mirror in to")
	}
}

// prefix reads host or host/path.
func (l *loader) prefix(into *[]string) visit {
	return func(n *yaml.Node, path string) {
		s, ok := l.scalar(n, path)
		if !ok {
			return
		}
		host, repository, scoped := strings.Cut(s, "/")
		if _, err := reference.WithName("h.example/" + repository); !validHost(host) || scoped && err != nil {
			l.problem(n, path, "got %s, want host or host/path, such as docker.io/library", quote(s))
			return
		}
		if host = CanonicalRegistry(host); scoped {
			host += "/" + repository
		}
		*into = append(*into, host)
	}
}

func validHost(s string) bool {
	named, err := reference.WithName(s + "/a")
	if err != nil || reference.Domain(named) != s {
		return false
	}
	_, port := splitPort(s)
	number, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && number > 0
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case isNull(n):
		return "nothing"
	}
	return quote(n.Value)
}

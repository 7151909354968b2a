package policies

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// ImagePattern matches image names without tag and digest, part by part, so that registry.example.com never lets
// registry.example.com.evil.io in, and team/ never team-evil/.
//
//	docker.io/library/nginx     that name; nginx, docker.io/nginx and index.docker.io/library/nginx are read as the same
//	quay.io/prometheus/*        * is any run of characters within one part: quay.io/prometheus/node-exporter, not .../a/b
//	registry.example.com/**     a trailing ** is one or more parts: everything in that registry
//	*-docker.pkg.dev/acme/**    in the host * stays between two dots, and the last part of the host is written out
//	**                          every image
//
// The zero value matches nothing.
//
// +kubebuilder:object:generate=false
type ImagePattern struct {
	text string   // canonical
	host string   // canonical, with its port; "" together with deep for every image
	path []string // the parts that are matched one by one
	deep bool     // a trailing **
}

const (
	dockerHub      = "docker.io"
	longestPattern = 255
	everyImage     = "**"
)

var (
	hostForm = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?(\.[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?)*(:[0-9]{1,5})?$`)
	pathForm = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*._-]*[a-z0-9*])?$`)
)

// ParseImagePattern reads a pattern. What could match no image, or another one than it seems to, is an error that says what to write instead.
func ParseImagePattern(pattern string) (ImagePattern, error) {
	if pattern == everyImage {
		return ImagePattern{text: pattern, deep: true}, nil
	}
	if pattern == "" {
		return ImagePattern{}, errors.New("is empty; write an image name, or ** for every image")
	}
	if _, name, found := strings.Cut(pattern, "://"); found {
		return ImagePattern{}, fmt.Errorf("%s is a URL; write %s", quote(pattern), quote(name))
	}
	if len(pattern) > longestPattern {
		return ImagePattern{}, fmt.Errorf("%s is longer than %d characters", quote(pattern), longestPattern)
	}
	if !strings.Contains(pattern, "/") && namesHost(pattern) {
		return ImagePattern{}, fmt.Errorf("%s is a registry, and as an image it would be one of Docker Hub; write %s, which stands for all that it has", quote(pattern), quote(pattern+"/"+everyImage))
	}
	if name := withoutVersion(pattern); name != pattern {
		return ImagePattern{}, fmt.Errorf("%s carries a tag or a digest; write %s, which stands for all of them", quote(pattern), quote(name))
	}
	parsed, err := splitImage(pattern)
	if err != nil {
		return ImagePattern{}, err
	}
	parsed.text = parsed.host + "/" + strings.Join(parsed.path, "/")
	if last := len(parsed.path) - 1; parsed.path[last] == everyImage {
		parsed.path, parsed.deep = parsed.path[:last], true
	}
	if err := parsed.check(pattern); err != nil {
		return ImagePattern{}, err
	}
	return parsed, nil
}

// String is the pattern in canonical form, with the registry written out.
func (p ImagePattern) String() string { return p.text }

// Match tells whether the pattern matches name. The name must be canonical as image.Reference.Name makes it
// (docker.io/library/nginx); another spelling matches nothing but **.
func (p ImagePattern) Match(name string) bool {
	if p.text == everyImage {
		return name != ""
	}
	host, path, found := strings.Cut(name, "/")
	if !found || path == "" || !matchHost(p.host, host) {
		return false
	}
	for i, want := range p.path {
		part, rest, more := strings.Cut(path, "/")
		if !matchStars(want, part) {
			return false
		}
		if last := i == len(p.path)-1; last && !p.deep {
			return !more
		}
		if !more {
			return false
		}
		path = rest
	}
	return p.deep && path != ""
}

// Covers tells whether p matches everything that other matches. A * of p takes in a * of other, and nothing else does.
func (p ImagePattern) Covers(other ImagePattern) bool {
	// The ** that ends the text of other is a part to Match, and more than the last part of a p without **.
	return p.Match(other.text) && (p.deep || !other.deep)
}

// matchHost matches label by label, so that no * crosses a dot or reaches the port.
func matchHost(pattern, host string) bool {
	for {
		want, wantRest, wantMore := strings.Cut(pattern, ".")
		label, rest, more := strings.Cut(host, ".")
		if more != wantMore || !matchStars(want, label) {
			return false
		}
		if !more {
			return true
		}
		pattern, host = wantRest, rest
	}
}

// check refuses parts that no image name can have (https://pkg.go.dev/github.com/distribution/reference has the grammar).
func (p ImagePattern) check(pattern string) error {
	if err := checkHost(p.host); err != nil {
		return fmt.Errorf("%s %w", quote(pattern), err)
	}
	for _, part := range p.path {
		if strings.Contains(part, everyImage) {
			return fmt.Errorf("%s has ** elsewhere than as its last part; use * within a part", quote(pattern))
		}
		if part != strings.ToLower(part) {
			return fmt.Errorf("%s can match nothing: repositories are lower case", quote(pattern))
		}
		if !pathForm.MatchString(part) {
			return fmt.Errorf("%s can match nothing: the parts of a name are lower-case letters, digits, and . _ - between them", quote(pattern))
		}
	}
	return nil
}

func checkHost(host string) error {
	if strings.HasPrefix(host, "[") {
		return nil // splitImage parsed the address
	}
	if !hostForm.MatchString(host) {
		return fmt.Errorf("can match nothing: %s is not a registry host", quote(host))
	}
	if strings.Contains(host[strings.LastIndexByte(host, '.')+1:], "*") {
		return errors.New("leaves the end of the registry's host open; write it out, as in *.example.com")
	}
	return nil
}

// splitImage finds the registry as the kubelet does: the first part is a host if it has a dot, a port or upper case, or is localhost; else the
// registry is Docker Hub. The host is made canonical.
func splitImage(pattern string) (ImagePattern, error) {
	first, rest, found := strings.Cut(pattern, "/")
	isHost := found && (strings.ContainsAny(first, ".:") || first == "localhost" || first != strings.ToLower(first))
	if !isHost {
		if first == everyImage {
			return ImagePattern{}, fmt.Errorf("%s has ** elsewhere than as its last part; begin with a registry, as in docker.io/library/*", quote(pattern))
		}
		if strings.Contains(first, "*") {
			return ImagePattern{}, fmt.Errorf("%s does not say which registry; write %s for Docker Hub, or ** for every image", quote(pattern), quote(hubName(pattern)))
		}
		first, rest, _ = strings.Cut(hubName(pattern), "/")
	}
	host, err := canonicalHost(first)
	if err != nil {
		return ImagePattern{}, fmt.Errorf("%s can match nothing: %w", quote(pattern), err)
	}
	if host == dockerHub && !strings.Contains(rest, "/") && rest != everyImage {
		if strings.Contains(rest, "*") {
			return ImagePattern{}, fmt.Errorf(`%s is ambiguous; write "docker.io/library/%s" for official images, or "docker.io/**" for all of Docker Hub`, quote(pattern), rest)
		}
		rest = "library/" + rest
	}
	return ImagePattern{host: host, path: strings.Split(rest, "/")}, nil
}

// namesHost tells whether text without a slash can only be meant for a registry: it has a dot before a port or the end, or is localhost. The
// dot of a tag does not count.
func namesHost(text string) bool {
	host, port, hasPort := strings.Cut(text, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return host == "localhost" || strings.Contains(host, ".") && !strings.Contains(host, "@")
}

// hubName is what a name without a registry means.
func hubName(name string) string {
	if strings.Contains(name, "/") {
		return dockerHub + "/" + name
	}
	return dockerHub + "/library/" + name
}

// canonicalHost is the form that image.Reference gives hosts, since each other spelling would be a way around a pattern, or a pattern
// around itself: lower case, docker.io for its aliases, no default port, addresses in their shortest spelling.
func canonicalHost(host string) (string, error) {
	host = strings.ToLower(host)
	port := ""
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:colon], strings.TrimLeft(host[colon+1:], "0")
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return "", fmt.Errorf("%s is followed by a colon and no port number", quote(host))
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil {
			return "", fmt.Errorf("%s is not an address", quote(host))
		}
		host = "[" + addr.String() + "]"
	}
	if port != "" && port != "443" {
		return host + ":" + port, nil
	}
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return dockerHub, nil
	}
	return host, nil
}

// withoutVersion cuts off what follows the name in an image reference.
func withoutVersion(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

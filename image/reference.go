package image

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// dockerHub is the canonical name of the registry that a reference without a host means.
const dockerHub = "docker.io"

// maxReference is longer than any reference that can be pulled: 253 bytes of DNS name, a port, 255 of path, 128 of tag, 71 of digest.
const maxReference = 1024

const referenceForm = "[host/]repository[:tag][@sha256:<64 hex digits>]"

// Reference is an image reference as the kubelet understands it: the grammar is github.com/distribution/reference, which the
// kubelet and containerd use, so that nothing here means another image than it does on the node.
// It is comparable and cheap to copy; the zero value is not a reference.
type Reference struct {
	written string // exactly as in the manifest
	name    string // canonical registry + "/" + canonical repository
	slash   int    // index of that "/"
	tag     string
	digest  string
}

// ParseReference reads s. What the kubelet refuses is an error, and beyond that only what nobody can pull or verify: more than
// 1,024 bytes, and digests other than sha256. The error is an [*Error] with reason [InvalidReference]; it says what to write.
func ParseReference(s string) (Reference, error) {
	if len(s) > maxReference {
		return Reference{}, invalidReference(s, "is longer than 1024 bytes", nil)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, invalidReference(s, referenceHint(s), err)
	}
	registry := CanonicalRegistry(reference.Domain(named))
	ref := Reference{written: s, name: registry + "/" + reference.Path(named), slash: len(registry)}
	if tagged, ok := named.(reference.Tagged); ok {
		ref.tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		ref.digest = digested.Digest().String()
		if !validDigest(ref.digest) {
			return Reference{}, invalidReference(s, digestHint, nil)
		}
	}
	if ref.tag == "" && ref.digest == "" {
		ref.tag = "latest"
	}
	return ref, nil
}

// String is the reference exactly as it was written.
func (r Reference) String() string { return r.written }

// Registry is the canonical host: lower case, no default port, docker.io for all its aliases. A port other than 443 is part of it.
func (r Reference) Registry() string { return r.name[:r.slash] }

// Repository is the path on the registry, with the library/ that a short name means: library/nginx.
func (r Reference) Repository() string {
	if r.name == "" {
		return ""
	}
	return r.name[r.slash+1:]
}

// Name is Registry and Repository joined by a slash: what allow and deny lists are matched against.
func (r Reference) Name() string { return r.name }

// Tag is the tag, "latest" when neither tag nor digest is written, and empty when only a digest is.
func (r Reference) Tag() string { return r.tag }

// Digest is sha256:... when one is written, else empty. Where both are written the digest decides what is pulled.
func (r Reference) Digest() string { return r.digest }

// Pin is the text to write so that the reference means digest (sha256:...): the name stays as it was written and the tag stays, or
// becomes the one that was meant, for the humans: nginx -> nginx:latest@sha256:... A digest that is written is replaced.
func (r Reference) Pin(digest string) string {
	base, _, digested := strings.Cut(r.written, "@")
	if !digested && !strings.Contains(base[strings.LastIndexByte(base, '/')+1:], ":") {
		base += ":" + r.tag
	}
	return base + "@" + digest
}

// CanonicalRegistry is the form in which registry hosts are compared: lower case, docker.io for its aliases, no :443, no leading
// zeros in the port, IPv6 addresses in their shortest spelling. Without it each of these spellings is a way around a list.
func CanonicalRegistry(host string) string {
	host = strings.ToLower(host)
	colon := strings.LastIndexByte(host, ':')
	port := ""
	if colon >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:colon], strings.TrimLeft(host[colon+1:], "0")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil {
			host = "[" + addr.String() + "]"
		}
	}
	if port != "" && port != "443" {
		return host + ":" + port
	}
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return dockerHub
	}
	return host
}

var sha256Digest = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

func validDigest(s string) bool { return len(s) == len("sha256:")+64 && sha256Digest.MatchString(s) }

const digestHint = "has a digest that is not sha256: and 64 lower-case hex digits"

// referenceHint says in fixed words what is wrong with a reference that does not parse.
func referenceHint(s string) string {
	if s == "" {
		return "is empty"
	}
	if strings.TrimSpace(s) != s {
		return "has a space around it"
	}
	if name, _, ok := strings.Cut(s, "@"); ok {
		if _, err := reference.ParseNormalizedNamed(name); err == nil {
			return digestHint
		}
	}
	if _, err := reference.ParseNormalizedNamed(strings.ToLower(s)); err == nil {
		return "has upper case in its repository"
	}
	if _, err := reference.Parse(s); errors.Is(err, reference.ErrNameTooLong) {
		return "has a repository of more than 255 bytes"
	}
	return "is not an image reference"
}

package image

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultTimeout  = 3 * time.Second
	DefaultTagTTL   = 60 * time.Second
	DefaultMaxStale = 24 * time.Hour
)

// Config says how registries are reached. The zero value is usable: every public registry over https, no private address, no
// mirror, and the defaults above. It is the parsed form of a file of kind RegistryConfig, see [LoadConfig].
type Config struct {
	// AllowHosts may be dialled although they are at private addresses (RFC 1918, ULA, CGNAT): canonical hosts, for any port
	// unless one is given. A bearer token realm may be on them too. Loopback and link-local addresses need AllowCIDRs.
	AllowHosts []string
	// AllowCIDRs are further addresses that may be dialled. The metadata services of clouds, unspecified and multicast addresses
	// never are.
	AllowCIDRs []netip.Prefix
	// Insecure are the registries that are spoken to over plain http, canonical host and port; everything else is https.
	Insecure []string
	// Mirrors are tried in order before the registry itself, as containerd does by its hosts.toml.
	Mirrors []Mirror
	// Timeout bounds one request to a registry, from the dial to the last byte; the review's own deadline wins.
	Timeout time.Duration
	// TagTTL is how long the digest of a tag is believed, give or take a tenth.
	TagTTL time.Duration
	// MaxStale is how old such an answer may be when the registry does not answer; negative means never.
	MaxStale time.Duration
}

// Mirror rewrites references below From, a canonical host or host/path, to each of To in turn: with From docker.io and To
// mirror.corp.example/docker.io, nginx is asked for as mirror.corp.example/docker.io/library/nginx. Path components are never split.
type Mirror struct {
	From string
	To   []string
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.TagTTL <= 0 {
		c.TagTTL = DefaultTagTTL
	}
	if c.MaxStale == 0 {
		c.MaxStale = DefaultMaxStale
	}
	return c
}

// allowsHost reports whether host, canonical with its port if that is not 443, is listed with that port or for any.
func (c *Config) allowsHost(host string) bool {
	name, _ := splitPort(host)
	return slices.Contains(c.AllowHosts, host) || slices.Contains(c.AllowHosts, name)
}

func (c *Config) insecure(host string) bool { return slices.Contains(c.Insecure, host) }

// splitPort splits a canonical host from its port, empty if it has none. The brackets of an IPv6 address stay.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// source is one place where the bytes of a reference may be asked for: a mirror, or the registry itself.
type source struct {
	host       string // canonical; it names credentials and breakers
	repository string
}

// sources are the places to ask for ref, in order; the last is its own registry.
func (c *Config) sources(ref Reference) []source {
	var all []source
	for _, m := range c.Mirrors {
		rest, ok := below(ref.Name(), m.From)
		if !ok {
			continue
		}
		for _, to := range m.To {
			host, prefix, _ := strings.Cut(to, "/")
			all = append(all, source{host: host, repository: strings.TrimPrefix(prefix+rest, "/")})
		}
	}
	return append(all, source{host: ref.Registry(), repository: ref.Repository()})
}

// below reports whether name is prefix or below it by whole path components, and what follows, with its slash.
func below(name, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, prefix)
	return rest, ok && strings.HasPrefix(rest, "/")
}

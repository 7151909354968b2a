package image

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Where an address is, as far as the permission to dial it goes.
type zone int

const (
	public  zone = iota
	private      // the host or a CIDR must be allowed
	local        // a CIDR must be allowed: a name that somebody else controls can resolve to it
	never        // no configuration allows it
)

// prefixesOf lists the zones, narrowest permission first. Sources: the IANA special-purpose registries (RFC 6890) and the clouds'
// documentation of their metadata services.
func prefixesOf(z zone) []string {
	switch z {
	case never:
		return []string{
			"0.0.0.0/8", "::/128", // unspecified: the kernel takes it for this host
			"224.0.0.0/3", "ff00::/8", // multicast, reserved, broadcast
			"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::/112", // metadata: AWS, Google, Azure and most others
			"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", // metadata: Alibaba, Oracle, Azure's wire server
		}
	case local:
		return []string{"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"}
	}
	return []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10", // private
		"100.64.0.0/10",                                                                      // carrier-grade NAT, and the pods of some clouds
		"192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", // protocols, documentation, benchmarks
		"64:ff9b:1::/48", "2001::/32", "2002::/16", "2001:db8::/32", // translations and tunnels, documentation
	}
}

// addressPolicy decides, for an address that a host has resolved to, whether it may be dialled.
type addressPolicy struct {
	config *Config
	zones  [never + 1][]netip.Prefix
}

func newAddressPolicy(cfg *Config) *addressPolicy {
	p := &addressPolicy{config: cfg}
	for _, z := range []zone{private, local, never} {
		for _, s := range prefixesOf(z) {
			p.zones[z] = append(p.zones[z], netip.MustParsePrefix(s))
		}
	}
	return p
}

// embedded is the IPv4 address that an IPv6 one really leads to: mapped, IPv4-compatible, or through NAT64.
func embedded(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if !addr.Is6() {
		return addr
	}
	bytes := addr.As16()
	for _, s := range []string{"64:ff9b::/96", "::/96"} {
		v4 := netip.AddrFrom4([4]byte(bytes[12:]))
		if netip.MustParsePrefix(s).Contains(addr) && v4.As4()[0] != 0 {
			return v4
		}
	}
	return addr
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// allows reports whether addr, which host (canonical, with its port) resolved to, may be dialled.
func (p *addressPolicy) allows(host string, addr netip.Addr) bool {
	addr = embedded(addr)
	switch {
	case contains(p.zones[never], addr):
		return false
	case contains(p.config.AllowCIDRs, addr):
		return true
	case contains(p.zones[local], addr):
		return false
	case contains(p.zones[private], addr):
		return p.config.allowsHost(host)
	}
	return true
}

// Resolver is what the dialer asks for addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DialFunc dials one address, which is an IP and a port; (*net.Dialer).DialContext is one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// errRefusedAddress is the dialer's, for every address of a host that may not be dialled.
var errRefusedAddress = errors.New("every address of the host is outside what may be dialled")

// maxAddresses is how many addresses of one host are tried.
const maxAddresses = 3

// dialer resolves once and dials what it has judged, so that a name cannot change its address in between (DNS rebinding).
type dialer struct {
	policy   *addressPolicy
	resolver Resolver
	dial     DialFunc
	timeout  time.Duration // of all addresses together: http.Transport dials without the request's deadline
}

func (d *dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	canonical := CanonicalRegistry(address)
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !d.policy.allows(canonical, a) })
	if len(addrs) == 0 {
		return nil, errRefusedAddress
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	for i, addr := range addrs {
		var conn net.Conn
		if conn, err = d.dialOne(ctx, net.JoinHostPort(addr.Unmap().String(), port), len(addrs)-i); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// dialOne dials address with its share of the time that is left, so that one dead address does not cost the others their turn.
func (d *dialer) dialOne(ctx context.Context, address string, left int) (net.Conn, error) {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
	defer cancel()
	return d.dial(ctx, "tcp", address)
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	return d.resolver.LookupNetIP(ctx, "ip", host)
}

// ChosenDialer dials a service whose address the admin has written down himself, such as the one that takes alerts. Private addresses
// and this host are then what they say; metadata services, link-local addresses and what is no service's at all are refused, whatever
// name leads there. It resolves once, by r, and dials by dial what it has judged; timeout is for all addresses of a name together.
func ChosenDialer(r Resolver, dial DialFunc, timeout time.Duration) DialFunc {
	chosen := append(prefixesOf(private), "127.0.0.0/8", "::1/128")
	cfg := &Config{}
	for _, s := range chosen {
		cfg.AllowCIDRs = append(cfg.AllowCIDRs, netip.MustParsePrefix(s))
	}
	return (&dialer{policy: newAddressPolicy(cfg), resolver: r, dial: dial, timeout: timeout}).DialContext
}

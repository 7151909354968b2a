package image

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func prefixes(s ...string) (all []netip.Prefix) {
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestT30AddressPolicy(t *testing.T) {
	record(t)
	open := Config{}
	byHost := Config{AllowHosts: []string{"reg.example"}}
	byPort := Config{AllowHosts: []string{"reg.example:5000"}}
	byCIDR := Config{AllowCIDRs: prefixes("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fd00::/8", "100.64.0.0/10")}
	tests := []struct {
		addr                                string
		want, wantHost, wantPort, wantCIDRs bool // with the configurations above, for reg.example
	}{
		{"93.184.216.34", true, true, true, true},
		{"2606:2800:220:1::1", true, true, true, true},
		{"10.1.2.3", false, true, false, true},
		{"172.16.0.1", false, true, false, false},
		{"172.31.255.255", false, true, false, false},
		{"172.32.0.1", true, true, true, true},
		{"192.168.1.1", false, true, false, false},
		{"100.64.0.1", false, true, false, true},
		{"fd12::1", false, true, false, true},
		{"fc00::1", false, true, false, false},
		{"127.0.0.1", false, false, false, true},
		{"127.8.8.8", false, false, false, true},
		{"::1", false, false, false, true},
		{"169.254.1.1", false, false, false, true},
		{"fe80::1", false, false, false, false},
		{"fe80::1%eth0", false, false, false, false},
		// mapped, compatible, and through NAT64
		{"::ffff:127.0.0.1", false, false, false, true},
		{"::ffff:10.1.2.3", false, true, false, true},
		{"::ffff:93.184.216.34", true, true, true, true},
		{"::127.0.0.1", false, false, false, true},
		{"64:ff9b::10.1.2.3", false, true, false, true},
		{"64:ff9b::7f00:1", false, false, false, true},
		{"64:ff9b::169.254.169.254", false, false, false, false},
		{"64:ff9b::93.184.216.34", true, true, true, true},
		{"2002:7f00:1::", false, true, false, false},
		// never
		{"169.254.169.254", false, false, false, false},
		{"::ffff:169.254.169.254", false, false, false, false},
		{"169.254.170.2", false, false, false, false},
		{"fd00:ec2::254", false, false, false, false},
		{"fd00:ec2::23", false, false, false, false},
		{"100.100.100.200", false, false, false, false},
		{"168.63.129.16", false, false, false, false},
		{"192.0.0.192", false, false, false, false},
		{"0.0.0.0", false, false, false, false},
		{"0.1.2.3", false, false, false, false},
		{"::", false, false, false, false},
		{"224.0.0.1", false, false, false, false},
		{"255.255.255.255", false, false, false, false},
		{"ff02::1", false, false, false, false},
	}
	for _, tt := range tests {
		addr := netip.MustParseAddr(tt.addr)
		got := make([]bool, 0, 4)
		for _, cfg := range []*Config{&open, &byHost, &byPort, &byCIDR} {
			got = append(got, newAddressPolicy(cfg).allows("reg.example", addr))
		}
		if want := []bool{tt.want, tt.wantHost, tt.wantPort, tt.wantCIDRs}; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", tt.addr, got, want)
		}
		if newAddressPolicy(&byHost).allows("reg.example.evil", addr) != tt.want || newAddressPolicy(&byHost).allows("evilreg.example", addr) != tt.want {
			t.Errorf("%s: got a look-alike of an allowed host treated otherwise than any host", tt.addr)
		}
		if newAddressPolicy(&byPort).allows("reg.example:5000", addr) != tt.wantHost {
			t.Errorf("%s: got the port that is allowed refused", tt.addr)
		}
	}
}

// Names that libc takes for addresses are names here, and go to the resolver that answers what it wants.
func TestT30NeverDialled(t *testing.T) {
	tests := []struct {
		image string
		addrs []string // that the name resolves to
		want  Reason
	}{
		{"169.254.169.254/latest/meta-data", nil, RefusedAddress},
		{"127.0.0.1:6443/x", nil, RefusedAddress},
		{"10.0.0.1/x", nil, RefusedAddress},
		{"[::1]:5000/x", nil, RefusedAddress},
		{"[fd00:ec2::254]/x", nil, RefusedAddress},
		{"127.1/x", []string{"127.0.0.1"}, RefusedAddress},
		{"2130706433:80/x", []string{"127.0.0.1"}, RefusedAddress},
		{"0x7f000001:80/x", []string{"127.0.0.1"}, RefusedAddress},
		{"x.localhost:5000/y", []string{"127.0.0.1", "::1"}, RefusedAddress},
		{"kubernetes.default.svc/api", []string{"10.96.0.1"}, RefusedAddress},
		{"metadata.example/x", []string{"::ffff:169.254.169.254"}, RefusedAddress},
		{"nowhere.example/x", nil, Unreachable},
		{"evil.io:99999/x", []string{"93.184.216.34"}, Unreachable},
	}
	for _, tt := range tests {
		w := newWorld(t)
		ref, err := ParseReference(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		host, _ := splitPort(ref.Registry())
		for _, a := range tt.addrs {
			w.names[host] = append(w.names[host], netip.MustParseAddr(a))
		}
		fact := w.gather(w.registries(Config{}), configNeed(tt.image))[tt.image]
		if got := reasonOf(fact.Err); got != tt.want {
			t.Errorf("%s: got %s (%v), want %s", tt.image, got, fact.Err, tt.want)
		}
		if len(w.dialled) > 0 && tt.want == RefusedAddress {
			t.Errorf("%s: got %v dialled, want nothing", tt.image, w.dialled)
		}
	}
}

// What was judged is what is dialled: the name is resolved once, and only addresses that are allowed are tried.
func TestT30Rebinding(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	good := w.names["reg.example"][0]
	w.names["reg.example"] = []netip.Addr{netip.MustParseAddr("127.0.0.1"), good, netip.MustParseAddr("169.254.169.254")}
	flips := &flipping{world: w, then: netip.MustParseAddr("169.254.169.254")}
	r := w.registries(Config{}, func(o *Options) { o.Resolver = flips })

	if fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]; fact.Err != nil {
		t.Fatal(fact.Err)
	}
	if want := []string{good.String() + ":443"}; !slices.Equal(w.dialled, want) {
		t.Errorf("got %v dialled, want %v", w.dialled, want)
	}
	if flips.asked != 1 {
		t.Errorf("got %d lookups, want 1", flips.asked)
	}
}

// flipping answers truly once and with another address from then on.
type flipping struct {
	*world
	then  netip.Addr
	asked int
}

func (f *flipping) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if f.asked++; f.asked > 1 {
		return []netip.Addr{f.then}, nil
	}
	return f.world.LookupNetIP(ctx, network, host)
}

func TestDialSharesItsTime(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	good := w.names["reg.example"][0]
	w.names["reg.example"] = []netip.Addr{netip.MustParseAddr("93.184.217.1"), good}
	r := w.registries(Config{Timeout: 2 * time.Second}, func(o *Options) { o.Dial = w.blackhole("93.184.217.1:443") })

	if fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]; fact.Err != nil {
		t.Errorf("got %v, want the second address tried while there is time", fact.Err)
	}
}

// TestChosenDialer holds what an admin may name: everything but addresses that no service of his is at. Nothing is dialled.
func TestChosenDialer(t *testing.T) {
	record(t)
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "10.1.2.3": true, "192.168.1.1": true, "100.64.0.1": true, "fd12::1": true, "127.0.0.1": true, "::1": true,
		"::ffff:10.1.2.3": true, "2606:2800:220:1::1": true,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "64:ff9b::169.254.169.254": false, "169.254.1.1": false, "fe80::1": false,
		"fd00:ec2::254": false, "100.100.100.200": false, "168.63.129.16": false, "0.0.0.0": false, "::": false, "224.0.0.1": false,
		"255.255.255.255": false,
	} {
		for _, host := range []string{addr, "sink.example"} {
			var dialled []string
			resolver := fixedResolver{netip.MustParseAddr(addr)}
			dial := ChosenDialer(resolver, func(_ context.Context, _, address string) (net.Conn, error) {
				dialled = append(dialled, address)
				return nil, errors.New("not dialled in a test")
			}, time.Second)
			_, err := dial(t.Context(), "tcp", net.JoinHostPort(host, "443"))
			if got := len(dialled) == 1; got != want || err == nil || errors.Is(err, errRefusedAddress) == want {
				t.Errorf("%s for %s: got %v dialled and error %v, want it to be dialled: %t", host, addr, dialled, err, want)
			}
		}
	}
}

// fixedResolver answers every question with one address.
type fixedResolver struct{ addr netip.Addr }

func (r fixedResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{r.addr}, nil
}

package image

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestT31PathTraversalNeverSent(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("host:5000")
	r := w.registries(Config{})
	for _, image := range []string{"host:5000/a/../../../api/v1/namespaces/x/secrets:t", "host:5000/a%2f..:t", "host:5000/a:..", "host:5000/a@sha256:../x"} {
		if got := reasonOf(w.gather(r, configNeed(image))[image].Err); got != InvalidReference {
			t.Errorf("%s: got %s, want InvalidReference", image, got)
		}
	}
	if seen := reg.requests(); len(seen) > 0 {
		t.Errorf("got %v sent, want nothing", seen)
	}
}

// A layout of hosts for redirects: where the registry sends its clients, and what must come of it.
func TestT32Redirects(t *testing.T) {
	tests := []struct {
		name, location string
		want           Reason
		reached        bool // the other server
	}{
		{"content delivery over https", "https://cdn.example/v2/app/manifests/v1", "", true},
		{"metadata service", "https://169.254.169.254/v2/app/manifests/v1", RefusedAddress, false},
		{"internal name", "https://internal.example/v2/app/manifests/v1", RefusedAddress, false},
		{"loopback", "https://127.0.0.1:6443/api", RefusedAddress, false},
		{"plain http", "http://cdn.example/v2/app/manifests/v1", Misbehaving, false},
		{"file", "file:///etc/passwd", Misbehaving, false},
		{"with a user", "https://u:p@cdn.example/v2/app/manifests/v1", Misbehaving, false},
		{"nowhere", "", Misbehaving, false},
		{"broken", "https://[::1/", Misbehaving, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg, cdn := w.registry("reg.example"), w.registry("cdn.example")
			w.names["internal.example"] = append(w.names["internal.example"], netip.MustParseAddr("10.0.0.1"))
			cdn.user("app", "v1", "1000")
			reg.script(on("", "/v2/app/", answer(http.StatusTemporaryRedirect, "Location", tt.location)))
			fact := w.gather(w.registries(Config{}), digestNeed("reg.example/app:v1"))["reg.example/app:v1"]
			if got := reasonOf(fact.Err); got != tt.want {
				t.Errorf("got %s (%v), want %s", got, fact.Err, tt.want)
			}
			if got := len(cdn.requests()) > 0; got != tt.reached {
				t.Errorf("got other server reached: %t, want %t", got, tt.reached)
			}
			for _, address := range w.dialled {
				if !strings.HasPrefix(address, "93.184.216.") {
					t.Errorf("got %s dialled", address)
				}
			}
		})
	}
}

func TestT33RedirectLoop(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.script(answer(http.StatusFound, "Location", "/v2/app/manifests/v1"))
	fact := w.gather(w.registries(Config{}), configNeed("reg.example/app:v1"))["reg.example/app:v1"]
	want := `image "reg.example/app:v1" cannot be looked up: registry "reg.example" redirects too often, or not to https`
	if reasonOf(fact.Err) != Misbehaving || fact.Err.Error() != want {
		t.Errorf("got %v, want %s", fact.Err, want)
	}
	if seen := reg.requests(); len(seen) != 4 {
		t.Errorf("got %d requests, want 4", len(seen))
	}
}

// The credential goes to the host it is for: not with a redirect to another, and not again when that one redirects back.
func TestT34AuthorizationStaysHome(t *testing.T) {
	w := newWorld(t)
	reg, cdn := w.registry("reg.example"), w.registry("cdn.example")
	reg.user("app", "v1", "1000")
	reg.script(
		on("", "/v2/app/manifests/v1", challenged("Basic dXNlcjpwYXNz", `Basic realm="r"`)),
		on("", "/v2/app/manifests/v1", answer(http.StatusTemporaryRedirect, "Location", "https://cdn.example/v2/there")),
	)
	cdn.script(answer(http.StatusTemporaryRedirect, "Location", "https://reg.example/v2/app/manifests/back"))
	r := w.registries(Config{}, func(o *Options) { o.Keychain = keychain{"reg.example": {Username: "user", Password: "pass"}} })
	w.gather(r, digestNeed("reg.example/app:v1"))

	want := []request{{"HEAD", "/v2/there", ""}}
	if diff := cmp.Diff(want, cdn.requests()); diff != "" {
		t.Errorf("other host (-want +got):\n%s", diff)
	}
	want = []request{
		{"HEAD", "/v2/app/manifests/v1", ""},
		{"HEAD", "/v2/app/manifests/v1", "Basic dXNlcjpwYXNz"},
		{"HEAD", "/v2/app/manifests/back", ""},
	}
	if diff := cmp.Diff(want, reg.requests()); diff != "" {
		t.Errorf("registry (-want +got):\n%s", diff)
	}
}

// A challenge from the host that was redirected to is not the registry's, and gets nothing.
func TestT34ChallengeAfterRedirect(t *testing.T) {
	w := newWorld(t)
	reg, cdn := w.registry("reg.example"), w.registry("cdn.example")
	reg.script(on("", "/v2/app/", answer(http.StatusTemporaryRedirect, "Location", "https://cdn.example/x")))
	cdn.script(answer(http.StatusUnauthorized, "WWW-Authenticate", `Bearer realm="https://reg.example/token"`))
	r := w.registries(Config{}, func(o *Options) { o.Keychain = keychain{"reg.example": {Username: "user", Password: "pass"}} })
	fact := w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"]
	if got := reasonOf(fact.Err); got != Unauthorized {
		t.Errorf("got %s, want Unauthorized", got)
	}
	if diff := cmp.Diff([]request{{"HEAD", "/v2/app/manifests/v1", ""}}, reg.requests()); diff != "" {
		t.Errorf("registry (-want +got):\n%s", diff)
	}
}

func TestT47Slow(t *testing.T) {
	tests := []struct {
		name  string
		fault fault
	}{
		{"no headers", hang},
		{"a byte at a time", drip},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		digest := reg.user("app", "v1", "1000")
		reg.script(tt.fault)
		began := time.Now()
		image := "reg.example/app@" + digest
		fact := w.gather(w.registries(Config{Timeout: time.Second}), configNeed(image))[image]
		if took := time.Since(began); reasonOf(fact.Err) != Timeout || took > 3*time.Second {
			t.Errorf("%s: got %v after %s, want Timeout after 1s", tt.name, fact.Err, took)
		}
	}
}

func TestT49NoPlainHTTP(t *testing.T) {
	w := newWorld(t)
	plain := w.serve("10.0.0.1:80", true)
	listed := w.serve("10.0.0.2:5000", true)
	digest := listed.user("app", "v1", "1000")
	plain.user("app", "v1", "1000")
	w.servers["10.0.0.1:443"] = plain // plain http where https is expected
	cfg := Config{AllowCIDRs: prefixes("10.0.0.0/8"), Insecure: []string{"10.0.0.2:5000"}}
	facts := w.gather(w.registries(cfg), digestNeed("10.0.0.1/app:v1"), digestNeed("10.0.0.2:5000/app:v1"))
	want := `image "10.0.0.1/app:v1" cannot be looked up: registry "10.0.0.1" speaks plain http; the cluster admin can list it under insecure in the RegistryConfig`
	if err := facts["10.0.0.1/app:v1"].Err; reasonOf(err) != Unreachable || err.Error() != want {
		t.Errorf("not listed: got %v, want %s", err, want)
	}
	if seen := plain.requests(); len(seen) > 0 {
		t.Errorf("not listed: got %v in plain text, want nothing", seen)
	}
	if got := facts["10.0.0.2:5000/app:v1"]; got.Err != nil || got.Digest != digest {
		t.Errorf("listed: got %q, %v, want %q", got.Digest, got.Err, digest)
	}
}

func TestF12BadCertificate(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	r := w.registries(Config{}, func(o *Options) { o.TLS = &tls.Config{} })
	want := `image "reg.example/app:v1" cannot be looked up: the certificate of registry "reg.example" is not trusted`
	if err := w.one(r, digestNeed("reg.example/app:v1")).Err; reasonOf(err) != Unreachable || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if seen := reg.requests(); len(seen) > 0 {
		t.Errorf("got %v sent, want nothing", seen)
	}
}

// Who gives up on a request, as the other platforms of an image do when one is missing, says nothing about the registry.
func TestGivingUpDoesNotOpenTheBreaker(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.script(hang)
	c := w.registries(Config{}).client
	for range 2 * breakerFailures {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(5*time.Millisecond, cancel)
		_, err := c.open(ctx, source{"reg.example", "app"}, nil, c.manifest("v1", maxManifest))
		if got := asFailure(err).reason; got != Timeout {
			t.Fatalf("got %s, want Timeout", got)
		}
	}
	if c.paused() != 0 {
		t.Error("got the breaker open")
	}
}

package image

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// Tokens: identity tokens are posted, registry tokens sent as they are, expired ones made anew, broken ones refused.
func TestTokens(t *testing.T) {
	const realm = `Bearer realm="https://reg.example/token",service="reg"`
	tests := []struct {
		name   string
		auth   string // of the pull secret
		answer string // of the token server
		want   Reason
		log    []request
	}{
		{"basic", `{"username": "u", "password": "p"}`, `{"token": "good"}`, "", []request{
			{"HEAD", "/v2/app/manifests/v1", ""}, {"GET", "/token?scope=repository%3Aapp%3Apull&service=reg", "Basic dTpw"}, {"HEAD", "/v2/app/manifests/v1", "Bearer good"},
		}},
		{"access_token", `{"username": "u", "password": "p"}`, `{"access_token": "good", "expires_in": 1000000000}`, "", nil},
		{"identity token", `{"identitytoken": "i"}`, `{"access_token": "good"}`, "", []request{
			{"HEAD", "/v2/app/manifests/v1", ""}, {"POST", "/token", ""}, {"HEAD", "/v2/app/manifests/v1", "Bearer good"},
		}},
		{"registry token", `{"registrytoken": "good"}`, `{}`, "", []request{
			{"HEAD", "/v2/app/manifests/v1", ""}, {"HEAD", "/v2/app/manifests/v1", "Bearer good"},
		}},
		{"no token", `{"username": "u", "password": "p"}`, `{}`, Misbehaving, nil},
		{"token with a line break", `{"username": "u", "password": "p"}`, `{"token": "good\r\nX: y"}`, Misbehaving, nil},
		{"no JSON", `{"username": "u", "password": "p"}`, `<html>`, Misbehaving, nil},
		{"endless", `{"username": "u", "password": "p"}`, `{"token": "` + strings.Repeat("x", 1<<20) + `"}`, Misbehaving, nil},
		{"refused", `{"username": "u", "password": "p"}`, "", Unauthorized, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg := w.registry("reg.example")
			reg.user("app", "v1", "1000")
			reg.script(on("", "/token", func(rw http.ResponseWriter, req *http.Request) bool {
				if tt.answer == "" || req.Method == http.MethodPost && req.FormValue("refresh_token") != "i" {
					rw.WriteHeader(http.StatusUnauthorized)
				}
				fmt.Fprint(rw, tt.answer)
				return true
			}), challenged("Bearer good", realm))
			c := &cluster{secrets: map[string]*corev1.Secret{"ns/pull": dockerConfig(`{"reg.example": ` + tt.auth + `}`)}}
			r := w.registries(Config{}, func(o *Options) { o.Secrets = c })
			ask := func(image string) Reason {
				return reasonOf(r.Gather(context.Background(), []Need{digestNeed(image)}, Credentials{Namespace: "ns", PullSecrets: []string{"pull"}})[image].Err)
			}
			if got := ask("reg.example/app:v1"); got != tt.want {
				t.Fatalf("got %s, want %q", got, tt.want)
			}
			if diff := cmp.Diff(tt.log, reg.requests()); tt.log != nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tt.want == "" {
				w.pass(2 * time.Hour) // it has expired, and the challenge is remembered
				if got := ask("reg.example/app:v1"); got != "" {
					t.Errorf("got %s two hours later, want the digest", got)
				}
			}
		})
	}
}

// A token that is taken back before it expires costs one request and a new token.
func TestTokenTakenBack(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	token := "one"
	var mu sync.Mutex
	reg.script(on("", "/token", func(rw http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(rw, `{"token": %q, "expires_in": 3600}`, token)
		return true
	}), func(rw http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		return challenged("Bearer "+token, `Bearer realm="https://reg.example/token"`)(rw, req)
	})
	r := w.registries(Config{})
	for _, next := range []string{"two", "three"} {
		if fact := w.one(r, digestNeed("reg.example/app:v1")); fact.Err != nil {
			t.Fatal(fact.Err)
		}
		mu.Lock()
		token = next
		mu.Unlock()
		w.pass(2 * time.Minute)
	}
	if n := len(reg.requests()); n != 6 {
		t.Errorf("got %d requests, want 3 and 3", n)
	}
}

// A keychain that hangs is given up on.
func TestF12KeychainHangs(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.script(answer(401, "WWW-Authenticate", "Basic"))
	stuck := make(chan struct{})
	defer close(stuck)
	r := w.registries(Config{Timeout: time.Second}, func(o *Options) { o.Keychain = hanging(stuck) })
	began := time.Now()
	if got := reasonOf(w.one(r, digestNeed("reg.example/app:v1")).Err); got != Unauthorized || time.Since(began) > 5*time.Second {
		t.Errorf("got %s after %s, want Unauthorized soon", got, time.Since(began))
	}
}

func TestParseChallenge(t *testing.T) {
	tests := []struct {
		lines []string
		want  challenge
		ok    bool
	}{
		{nil, challenge{}, false},
		{[]string{"Basic"}, challenge{"basic", "", ""}, true},
		{[]string{`Basic realm="x, y"`}, challenge{"basic", "x, y", ""}, true},
		{[]string{`Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"`}, challenge{"bearer", "https://a/t", "s"}, true},
		{[]string{`bearer service=s, Realm=https://a/t`}, challenge{"bearer", "https://a/t", "s"}, true},
		{[]string{`Bearer realm="a\"b", service="unclosed`}, challenge{"bearer", `a"b`, "unclosed"}, true},
		{[]string{`Negotiate`, `Bearer realm="https://a/t"`}, challenge{"bearer", "https://a/t", ""}, true},
		{[]string{`Bearer`}, challenge{}, false},
		{[]string{`Bearer realm`}, challenge{}, false},
		{[]string{`Digest realm="x"`}, challenge{}, false},
	}
	for _, tt := range tests {
		got, ok := parseChallenge(http.Header{"Www-Authenticate": tt.lines})
		if ok != tt.ok || got != tt.want {
			t.Errorf("%q: got %+v, %t, want %+v, %t", tt.lines, got, ok, tt.want, tt.ok)
		}
	}
}

func TestT34TokenRealm(t *testing.T) {
	record(t)
	tests := []struct {
		registry, realm string
		allow           []string
		want            bool
	}{
		{"reg.example", "https://reg.example/token", nil, true},
		{"reg.corp.example", "https://auth.corp.example/token", nil, true},
		{"docker.io", "https://auth.docker.io/token", nil, true},
		{"registry.gitlab.com", "https://gitlab.com/jwt/auth", nil, true},
		{"lscr.io", "https://ghcr.io/token", nil, true},
		{"reg.example:5000", "https://reg.example:5001/token", nil, true},
		{"reg.example", "http://reg.example/token", nil, false},
		{"reg.corp.example", "https://auth.evil.example/token", nil, false},
		{"reg.corp.example", "https://auth.other.test/token", []string{"auth.other.test"}, true},
		{"reg.co.uk", "https://evil.co.uk/token", nil, false},
		{"team.github.io", "https://evil.github.io/token", nil, false},
		{"10.0.0.1", "https://10.2.0.1/token", nil, false},
		{"10.0.0.1:5000", "https://10.0.0.1:5001/token", nil, false},
		{"10.0.0.1:5000", "https://10.0.0.1:5000/token", nil, true},
		{"[fd00::1]", "https://[fd00::2]/token", nil, false},
		{"reg", "https://evil/token", nil, false},
		{"reg.example", "https://user@reg.example/token", nil, false},
		{"reg.example", "/token", nil, false},
		{"reg.example", "https://reg.example.evil.test/token", nil, false},
		{"ghcr.io", "https://lscr.io/token", nil, false},
		{"localhost:5000", "http://localhost:5000/token", nil, true},
		{"localhost:5000", "http://localhost:5001/token", nil, false},
	}
	for _, tt := range tests {
		c := &client{config: &Config{AllowHosts: tt.allow, Insecure: []string{"localhost:5000"}}}
		ch, ok := parseChallenge(http.Header{"Www-Authenticate": {`Bearer realm="` + tt.realm + `",service="s"`}})
		if !ok {
			t.Fatalf("%s: got no challenge", tt.realm)
		}
		if got := c.realmURL(tt.registry, ch.realm) != nil; got != tt.want {
			t.Errorf("%s, %s: got %t, want %t", tt.registry, tt.realm, got, tt.want)
		}
	}
}

// A realm that is not allowed is not even asked.
func TestT34ForeignRealmGetsNothing(t *testing.T) {
	w := newWorld(t)
	reg, evil := w.registry("reg.example"), w.registry("evil.test")
	reg.script(answer(http.StatusUnauthorized, "WWW-Authenticate", `Bearer realm="https://evil.test/token",service="reg.example"`))
	r := w.registries(Config{}, func(o *Options) { o.Keychain = keychain{"reg.example": {Username: "user", Password: "pass"}} })
	want := `image "reg.example/app:v1" cannot be looked up: registry "reg.example" wants tokens to be had from another host, or without https; ` +
		`the cluster admin can list that host under allow in the RegistryConfig`
	if err := w.one(r, digestNeed("reg.example/app:v1")).Err; reasonOf(err) != Misbehaving || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if seen := evil.requests(); len(seen) > 0 {
		t.Errorf("got %v sent to another host, want nothing", seen)
	}
}

// A token server that redirects would get the credential to wherever it points.
func TestT34TokenRedirect(t *testing.T) {
	w := newWorld(t)
	reg, evil := w.registry("reg.example"), w.registry("evil.test")
	reg.script(
		on("", "/token", answer(http.StatusTemporaryRedirect, "Location", "https://evil.test/token")),
		answer(http.StatusUnauthorized, "WWW-Authenticate", `Bearer realm="https://reg.example/token"`),
	)
	r := w.registries(Config{}, func(o *Options) { o.Keychain = keychain{"reg.example": {Username: "user", Password: "pass"}} })
	if got := reasonOf(w.gather(r, digestNeed("reg.example/app:v1"))["reg.example/app:v1"].Err); got != Misbehaving {
		t.Errorf("got %s, want Misbehaving", got)
	}
	if seen := evil.requests(); len(seen) > 0 {
		t.Errorf("got %v sent to another host, want nothing", seen)
	}
}

package image

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/net/publicsuffix"
)

const (
	maxToken     = 64 << 10
	maxChallenge = 4 << 10     // of a realm and a service together
	minTokenLife = time.Minute // the protocol's own default
	maxTokenLife = time.Hour
)

// challenge is what a 401 asks for.
type challenge struct{ scheme, realm, service string } // scheme is bearer or basic

// parseChallenge finds the first challenge of a scheme that is spoken here.
func parseChallenge(h http.Header) (challenge, bool) {
	for _, line := range h.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(line, " ")
		ch := challenge{scheme: strings.ToLower(scheme)}
		params := parseParams(rest)
		ch.realm, ch.service = params["realm"], params["service"]
		if len(ch.realm)+len(ch.service) > maxChallenge {
			continue
		}
		if ch.scheme == "basic" || ch.scheme == "bearer" && ch.realm != "" {
			return ch, true
		}
	}
	return challenge{}, false
}

// parseParams reads key="value", key=value, ... (RFC 9110, 11.2).
func parseParams(s string) map[string]string {
	params := map[string]string{}
	for {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return params
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, s = unquoteParam(rest[1:])
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		params[strings.ToLower(strings.Trim(key, " ,\t"))] = value
	}
}

// unquoteParam reads up to the closing quote, and returns what follows it.
func unquoteParam(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// realmURL is where a registry sends its clients, and the credential that is meant for it, for a token; nil unless that is https,
// and the registry itself, its own registrable domain, or a host that the admin allows. Anything else is a way to read out
// credentials, or to have the webhook call a third party.
func (c *client) realmURL(registry, realm string) *url.URL {
	u, err := url.Parse(realm)
	if err != nil || !c.schemeAllowed(u) || u.User != nil {
		return nil
	}
	host := CanonicalRegistry(u.Host)
	if host == registry || sameDomain(registry, host) || c.config.allowsHost(host) ||
		registry == "lscr.io" && host == "ghcr.io" { // LinuxServer's name for images that live on GitHub
		return u
	}
	return nil
}

// sameDomain compares registrable domains (one label below a public suffix); an address or a single label has none.
func sameDomain(a, b string) bool {
	a, _ = splitPort(a)
	b, _ = splitPort(b)
	if _, err := netip.ParseAddr(a); err == nil {
		return false
	}
	siteA, errA := publicsuffix.EffectiveTLDPlusOne(a)
	siteB, errB := publicsuffix.EffectiveTLDPlusOne(b)
	return errA == nil && errB == nil && siteA == siteB
}

// token gets a bearer token to pull src, by the distribution project's token protocol: GET with basic authentication, or OAuth 2
// where the credential is an identity token. Redirects are not followed: a credential is on its way.
func (c *client) token(ctx context.Context, ch challenge, src source, auth authn.AuthConfig) (h header, err error) {
	defer c.metrics.request("token", c.now(), &err)
	realm := c.realmURL(src.host, ch.realm)
	if realm == nil {
		return header{}, &failure{reason: Misbehaving, detail: "cannot be looked up: registry HOST wants tokens to be had from another host, " +
			"or without https; the cluster admin can list that host under allow in the RegistryConfig"}
	}
	req, err := ch.request(ctx, realm, src, auth)
	if err != nil {
		return header{}, err
	}
	resp, err := c.exchange(c.host(CanonicalRegistry(realm.Host)), req, 0, c.config.Timeout)
	if err != nil {
		return header{}, err
	}
	if err := status(resp, c.now()); err != nil {
		return header{}, err
	}
	defer resp.Body.Close()
	return c.readToken(resp.Body)
}

// request is the one for a token at realm, which has been allowed.
func (ch challenge) request(ctx context.Context, realm *url.URL, src source, auth authn.AuthConfig) (*http.Request, error) {
	query := url.Values{"scope": {"repository:" + src.repository + ":pull"}}
	if ch.service != "" {
		query.Set("service", ch.service)
	}
	if auth.IdentityToken != "" {
		query.Set("grant_type", "refresh_token")
		query.Set("client_id", userAgent)
		query.Set("refresh_token", auth.IdentityToken)
		req, err := newRequest(ctx, http.MethodPost, realm.String(), strings.NewReader(query.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	address := *realm
	for key, values := range address.Query() {
		if !query.Has(key) {
			query[key] = values
		}
	}
	address.RawQuery = query.Encode()
	req, err := newRequest(ctx, http.MethodGet, address.String(), nil)
	if err == nil && (auth.Username != "" || auth.Password != "") {
		req.Header.Set("Authorization", basic(auth))
	}
	return req, err
}

func (c *client) readToken(body io.Reader) (header, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxToken+1))
	if err != nil {
		return header{}, asFailure(err)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if len(text) > maxToken || json.Unmarshal(text, &answer) != nil {
		return header{}, &failure{reason: Misbehaving, err: errors.New("token answer is not valid")}
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return header{}, &failure{reason: Misbehaving, err: errors.New("token is not valid")}
	}
	life := min(max(time.Duration(min(answer.ExpiresIn, 1<<20))*time.Second, minTokenLife), maxTokenLife)
	return header{"Bearer " + value, c.now().Add(life - minTokenLife/6)}, nil
}

package image

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// sessionKey is one registry as seen with one credential; the empty credential is the ambient one, or none.
type sessionKey struct{ host, credential string }

// headerKey is one repository as seen in one session.
type headerKey struct {
	sessionKey
	repository string
}

// session remembers how to be let in: what the registry challenged with, so that a second request needs no ping and no 401. Rate
// limits belong here, not to the host: one tenant's does not stop another.
type session struct {
	client     *client
	key        sessionKey
	gate       *host
	credential *credential // nil: ambient
	quota      breaker
	challenge  atomic.Pointer[challenge] // nil until there was one
}

// header is the value of an Authorization header.
type header struct {
	value   string
	expires time.Time
}

func (c *client) session(name string, cred *credential) *session {
	key := sessionKey{host: name}
	if cred != nil {
		key.credential = cred.id
	}
	return c.sessions.getOrPut(key, func() *session {
		return &session{client: c, key: key, gate: c.host(name), credential: cred}
	})
}

func (c *client) host(name string) *host { return c.hosts.getOrPut(name, newHost) }

// do asks src for o. The answer has status 200; everything else is a *failure.
func (s *session) do(ctx context.Context, src source, o object) (*http.Response, error) {
	if !s.quota.allow(s.client.now()) {
		return nil, &failure{reason: RateLimited}
	}
	resp, err := s.authorized(ctx, src, o)
	if err == nil {
		err = status(resp, s.client.now())
	}
	if err == nil {
		s.quota.succeed()
		return resp, nil
	}
	if f := asFailure(err); f.reason == RateLimited {
		s.quota.pause(s.client.now(), f.retryAfter)
	} else {
		s.quota.succeed()
	}
	return nil, err
}

// authorized sends the request with what is known, which for an open registry is nothing, and answers a challenge once.
func (s *session) authorized(ctx context.Context, src source, o object) (*http.Response, error) {
	value, err := s.authorization(ctx, src)
	if err != nil {
		return nil, err
	}
	resp, err := s.send(ctx, src, o, value)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !s.atHome(resp, src) {
		return resp, err
	}
	resp.Body.Close()
	if !s.learn(resp.Header, src) {
		return nil, &failure{reason: Unauthorized}
	}
	if value, err = s.authorization(ctx, src); err != nil {
		return nil, err
	}
	return s.send(ctx, src, o, value)
}

func (s *session) send(ctx context.Context, src source, o object, authorization string) (*http.Response, error) {
	address := s.client.baseURL(src.host) + "/v2/" + src.repository + "/" + o.kind + "/" + o.name
	req, err := newRequest(ctx, o.method, address, nil)
	if err != nil {
		return nil, err
	}
	if o.kind == "manifests" {
		req.Header.Set("Accept", acceptManifests)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return s.client.exchange(s.gate, req, maxRedirects, o.timeout)
}

// atHome reports whether an answer is from the registry itself: a challenge from where it redirected to is not answered.
func (s *session) atHome(resp *http.Response, src source) bool {
	return resp.Request.URL.Scheme+"://"+resp.Request.URL.Host == s.client.baseURL(src.host)
}

// learn takes in the challenge of a 401, which also says that the authorization for src, if any, is not good any more.
func (s *session) learn(h http.Header, src source) bool {
	s.client.headers.put(headerKey{s.key, src.repository}, header{}, 1)
	ch, ok := parseChallenge(h)
	if ok {
		s.challenge.Store(&ch)
	}
	return ok
}

// authorization is the header for src: remembered, made anew, or empty as long as the registry has not asked for one.
func (s *session) authorization(ctx context.Context, src source) (string, error) {
	key := headerKey{s.key, src.repository}
	if known, _ := s.client.headers.get(key); s.client.now().Before(known.expires) {
		return known.value, nil
	}
	ch := s.challenge.Load()
	if ch == nil {
		return "", nil
	}
	made, err := s.answer(ctx, *ch, src)
	if err != nil {
		return "", err
	}
	s.client.headers.put(key, made, 256+len(made.value))
	return made.value, nil
}

// answer makes the authorization that ch asks for.
func (s *session) answer(ctx context.Context, ch challenge, src source) (header, error) {
	auth := s.auth(ctx, src)
	switch {
	case auth.RegistryToken != "":
		return s.lasting("Bearer " + auth.RegistryToken), nil
	case ch.scheme == "bearer":
		return s.client.token(ctx, ch, src, auth)
	case auth.Username == "" && auth.Password == "":
		return header{}, &failure{reason: Unauthorized}
	}
	return s.lasting(basic(auth)), nil
}

// lasting is a header from a credential itself: the ambient one may change, so it is looked at again after a while.
func (s *session) lasting(value string) header {
	return header{value, s.client.now().Add(5 * time.Minute)}
}

func basic(auth authn.AuthConfig) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(auth.Username+":"+auth.Password))
}

// auth is the session's credential. Where the ambient one cannot be had, the registry is asked without.
func (s *session) auth(ctx context.Context, src source) authn.AuthConfig {
	if s.credential != nil {
		return s.credential.auth
	}
	return s.client.ambientAuth(ctx, src)
}

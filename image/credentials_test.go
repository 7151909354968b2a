package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// cluster has pull secrets, by namespace/name; a service account's are those that are listed under namespace/serviceaccount/name.
type cluster struct {
	mu       sync.Mutex
	secrets  map[string]*corev1.Secret
	accounts map[string][]string
	read     []string
}

func (c *cluster) Secret(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, namespace+"/"+name)
	if s, ok := c.secrets[namespace+"/"+name]; ok {
		return s, nil
	}
	return nil, errors.New("not found")
}

func (c *cluster) ServiceAccount(_ context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, namespace+"/sa/"+name)
	names, ok := c.accounts[namespace+"/"+name]
	if !ok {
		return nil, errors.New("not found")
	}
	account := &corev1.ServiceAccount{}
	for _, n := range names {
		account.ImagePullSecrets = append(account.ImagePullSecrets, corev1.LocalObjectReference{Name: n})
	}
	return account, nil
}

func basicFor(user string) string {
	return fmt.Sprintf(`{"reg.example": {"username": %q, "password": "pass"}}`, user)
}

func TestCredentialsOfAPod(t *testing.T) {
	tests := []struct {
		name string
		who  Credentials
		want []string // what is read
	}{
		{"none", Credentials{}, nil},
		{"the pod's", Credentials{"ns", "robot", []string{"a", "b"}}, []string{"ns/a", "ns/b"}},
		{"the account's", Credentials{"ns", "robot", nil}, []string{"ns/sa/robot", "ns/c"}},
		{"the default account's", Credentials{"ns", "", nil}, []string{"ns/sa/default", "ns/d"}},
		{"an account that is not there", Credentials{"ns", "gone", nil}, []string{"ns/sa/gone"}},
		{"paths", Credentials{"ns", "../kube-system", []string{"../other/a", "a%2fb", "..", "a"}}, []string{"ns/a"}},
		{"account path", Credentials{"ns", "../x", nil}, nil},
		{"many", Credentials{"ns", "", slices.Repeat([]string{"a"}, 100)}, slices.Repeat([]string{"ns/a"}, maxSecrets)},
	}
	for _, tt := range tests {
		c := &cluster{accounts: map[string][]string{"ns/robot": {"c"}, "ns/default": {"d"}}}
		r := New(Config{}, Options{Secrets: c})
		r.keyring(context.Background(), tt.who)
		if diff := cmp.Diff(tt.want, c.read); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestKeyringsAreKept(t *testing.T) {
	w := newWorld(t)
	c := &cluster{secrets: map[string]*corev1.Secret{"ns/a": dockerConfig(basicFor("a"))}}
	r := w.registries(Config{}, func(o *Options) { o.Secrets = c })
	read := func(names ...string) int {
		c.read = nil
		r.keyring(context.Background(), Credentials{Namespace: "ns", PullSecrets: names})
		return len(c.read)
	}
	for _, step := range []struct {
		after time.Duration
		name  string
		want  int
	}{
		{0, "a", 1},
		{29 * time.Second, "a", 0},
		{2 * time.Second, "a", 1},
		{0, "missing", 1},
		{time.Second, "missing", 0},
		{2 * time.Second, "missing", 1}, // it may be there now
	} {
		w.pass(step.after)
		if got := read(step.name); got != step.want {
			t.Errorf("%+v: got %d reads, want %d", step, got, step.want)
		}
	}
}

// Two tenants, one of whom may pull the image. What the other gets is what the registry gives him, not what is in memory.
func TestT36F15F16Tenants(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("private", "v1", "1000")
	reg.script(challenged("Basic YTpwYXNz", `Basic realm="r"`))
	c := &cluster{secrets: map[string]*corev1.Secret{"team-a/pull": dockerConfig(basicFor("a")), "team-b/pull": dockerConfig(basicFor("b"))}}
	r := w.registries(Config{}, func(o *Options) { o.Secrets = c })
	ask := func(image, namespace string, secrets ...string) Fact {
		return r.Gather(context.Background(), []Need{configNeed(image)}, Credentials{Namespace: namespace, PullSecrets: secrets})[image]
	}
	tests := []struct {
		who, namespace string
		secrets        []string
		want           Reason
	}{
		{"b, before a", "team-b", []string{"pull"}, Unauthorized},
		{"nobody, before a", "team-b", nil, Unauthorized},
		{"a", "team-a", []string{"pull"}, ""},
		{"b", "team-b", []string{"pull"}, Unauthorized},
		{"b with the name of a's secret", "team-b", []string{"team-a/pull"}, Unauthorized},
		{"nobody", "team-c", nil, Unauthorized},
		{"a, again", "team-a", []string{"pull"}, ""},
	}
	for _, image := range []string{"reg.example/private:v1", "reg.example/private@" + digest} {
		for _, tt := range tests {
			fact := ask(image, tt.namespace, tt.secrets...)
			if got := reasonOf(fact.Err); got != tt.want {
				t.Errorf("%s, %s: got %s (%v), want %q", image, tt.who, got, fact.Err, tt.want)
			}
			if tt.want != "" && (fact.Platforms != nil || strings.HasSuffix(image, ":v1") && fact.Digest != "") {
				t.Errorf("%s, %s: got %+v, want nothing of the image", image, tt.who, fact)
			}
		}
	}
	for _, name := range c.read {
		if strings.Count(name, "/") != 1 && !strings.Contains(name, "/sa/") {
			t.Errorf("got %s read", name)
		}
	}
}

// One tenant's rate limit is not another's.
func TestF11RateLimitOfOneTenant(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	reg.script(
		challenged("Basic YTpwYXNz", `Basic realm="r"`),
		on("", "", answer(429, "Retry-After", "60")),
	)
	reg.script(func(rw http.ResponseWriter, req *http.Request) bool {
		switch req.Header.Get("Authorization") {
		case "Basic YTpwYXNz":
			return answer(429, "Retry-After", "60")(rw, req)
		case "Basic YjpwYXNz":
			return false
		}
		return answer(401, "WWW-Authenticate", "Basic")(rw, req)
	})
	c := &cluster{secrets: map[string]*corev1.Secret{"team-a/pull": dockerConfig(basicFor("a")), "team-b/pull": dockerConfig(basicFor("b"))}}
	r := w.registries(Config{}, func(o *Options) { o.Secrets = c })
	for namespace, want := range map[string]Reason{"team-a": RateLimited, "team-b": ""} {
		facts := r.Gather(context.Background(), []Need{digestNeed("reg.example/app:v1")}, Credentials{Namespace: namespace, PullSecrets: []string{"pull"}})
		if got := reasonOf(facts["reg.example/app:v1"].Err); got != want {
			t.Errorf("%s: got %s, want %q", namespace, got, want)
		}
	}
}

// A pull secret that does not work is followed by the next, and by the ambient credential.
func TestCredentialsInTurn(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("team/app", "v1", "1000")
	reg.script(challenged("Basic YW1iaWVudDpwYXNz", `Basic realm="r"`))
	c := &cluster{secrets: map[string]*corev1.Secret{"ns/pull": dockerConfig(`{
		"reg.example": {"username": "host", "password": "p"}, "reg.example/team": {"username": "team", "password": "p"}}`)}}
	r := w.registries(Config{}, func(o *Options) {
		o.Secrets, o.Keychain = c, keychain{"reg.example": {Username: "ambient", Password: "pass"}}
	})
	facts := r.Gather(context.Background(), []Need{digestNeed("reg.example/team/app:v1")}, Credentials{Namespace: "ns", PullSecrets: []string{"pull"}})
	if err := facts["reg.example/team/app:v1"].Err; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, req := range reg.requests() {
		got = append(got, req.Authorization)
	}
	want := []string{"", "Basic dGVhbTpw", "", "Basic aG9zdDpw", "", "Basic YW1iaWVudDpwYXNz"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

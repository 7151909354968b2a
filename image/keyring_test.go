package image

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func dockerConfig(json string) *corev1.Secret {
	return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": ` + json + `}`)}}
}

func dockercfg(json string) *corev1.Secret {
	return &corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(json)}}
}

// users are the names of the credentials that k would try for an image.
func (k *keyring) users(t *testing.T, image string) []string {
	t.Helper()
	ref, err := ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, c := range k.candidates(source{ref.Registry(), ref.Repository()}) {
		names = append(names, c.auth.Username)
	}
	return names
}

func TestT35CredentialsByHost(t *testing.T) {
	record(t)
	k := newKeyring([]*corev1.Secret{
		dockerConfig(`{
			"reg.local":                      {"username": "reg", "password": "p"},
			"reg.local:5000":                 {"auth": "cG9ydDpwOnE="},
			"https://Index.Docker.io/v1/":    {"username": "hub", "password": "p"},
			"ghcr.io":                        {"username": "all", "password": "p"},
			"https://ghcr.io/v2/team":        {"username": "team", "password": "p"},
			"ghcr.io/team/secret":            {"username": "secret", "password": "p"},
			"*.wild.example":                 {"username": "wild", "password": "p"},
			"broken.example":                 {"auth": "%%%"},
			"empty.example":                  {},
			"odd.example":                    [1],
			"https://u:p@user.example/":      {"username": "x", "password": "p"}
		}`),
		dockercfg(`{"http://old.example/v1/": {"username": "old", "password": "p", "email": "e"}}`),
		dockercfg(`not JSON`),
		{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {"opaque.example": {"username": "x", "password": "p"}}}`)}},
	})
	tests := []struct {
		image string
		want  []string
	}{
		{"reg.local/a", []string{"reg"}},
		{"REG.local:443/a", []string{"reg"}},
		{"reg.local:5000/a", []string{"port"}},
		{"reg.local.evil/a", []string{}},
		{"evilreg.local/a", []string{}},
		{"sub.reg.local/a", []string{}},
		{"reg.local:5001/a", []string{}},
		{"nginx", []string{"hub"}},
		{"docker.io/team/a", []string{"hub"}},
		{"registry-1.docker.io/team/a", []string{"hub"}},
		{"ghcr.io/other/a", []string{"all"}},
		{"ghcr.io/team/a", []string{"team", "all"}},
		{"ghcr.io/team/secret/a", []string{"secret", "team", "all"}},
		{"a.wild.example/a", []string{}},
		{"broken.example/a", []string{}},
		{"empty.example/a", []string{}},
		{"odd.example/a", []string{}},
		{"user.example/a", []string{}},
		{"old.example/a", []string{"old"}},
		{"opaque.example/a", []string{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, k.users(t, tt.image)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.image, diff)
		}
	}
	if got := k.byHost["reg.local:5000"].credentials[0].auth.Password; got != "p:q" {
		t.Errorf("got password %q, want p:q", got)
	}
}

func TestF16Identity(t *testing.T) {
	record(t)
	ring := func(secrets ...string) *keyring {
		var all []*corev1.Secret
		for _, s := range secrets {
			all = append(all, dockerConfig(s))
		}
		return newKeyring(all)
	}
	const a, b = `{"reg.example": {"username": "a", "password": "p"}}`, `{"reg.example": {"username": "b", "password": "p"}}`
	sources := []source{{"mirror.example", "x"}, {"reg.example", "app"}}
	id := func(k *keyring) string { return k.identity(sources) }
	if id(ring(a)) != id(ring(a, `{"other.example": {"username": "x", "password": "p"}}`)) {
		t.Error("got two identities for the same credential for these hosts")
	}
	if id(ring(a, b)) != id(ring(b, a)) {
		t.Error("got the identity depend on the order of secrets")
	}
	seen := map[string]string{}
	for name, k := range map[string]*keyring{
		"none": nil, "a": ring(a), "b": ring(b), "both": ring(a, b),
		"password":  ring(`{"reg.example": {"username": "a", "password": "q"}}`),
		"boundary":  ring(`{"reg.example": {"username": "ap", "password": ""}}`),
		"scope":     ring(`{"reg.example/app": {"username": "a", "password": "p"}}`),
		"identity":  ring(`{"reg.example": {"identitytoken": "ap"}}`),
		"registry":  ring(`{"reg.example": {"registrytoken": "ap"}}`),
		"at mirror": ring(`{"mirror.example": {"username": "a", "password": "p"}}`),
	} {
		if other, ok := seen[id(k)]; ok {
			t.Errorf("got one identity for %s and %s", name, other)
		}
		seen[id(k)] = name
	}
	if id(ring(`{"other.example": {"username": "x", "password": "p"}}`)) != "" {
		t.Error("got an identity for credentials of other hosts, want the shared one")
	}
}

func TestKeyringIsBounded(t *testing.T) {
	entries := ""
	for i := range 50 {
		entries += fmt.Sprintf(`"reg.example/%s": {"username": "u", "password": "p"},`, "team"[:i%4+1])
	}
	var secrets []*corev1.Secret
	for i := range 10 {
		secrets = append(secrets, dockerConfig(fmt.Sprintf(`{%s "reg.example": {"username": "u%d", "password": "p"}}`, entries, i)))
	}
	secrets = append(secrets, dockerConfig(`{"huge.example": {"username": "u", "password": "`+strings.Repeat("x", maxCredential)+`"}}`))
	if got := newKeyring(secrets).users(t, "huge.example/app"); len(got) > 0 {
		t.Error("got a credential of 16 KiB, want it ignored")
	}
	if n := len(newKeyring(secrets).users(t, "reg.example/team/app")); n != maxCandidates {
		t.Errorf("got %d credentials tried, want %d", n, maxCandidates)
	}
}

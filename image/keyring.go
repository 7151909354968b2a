package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
)

const (
	maxCandidates = 3        // credentials of one pod that are tried on one registry
	maxCredential = 16 << 10 // bytes; the largest in use, cloud tokens and keys in JSON, have a quarter of it
)

// credential is one entry of a pull secret. It goes to the host it was made for and to nobody else: entries for *.example.com,
// which the kubelet honours, are not, since a suffix is what a look-alike has too.
type credential struct {
	id   string // hash of the material and its scope
	path string // prefix of the repositories it is for; empty for all of the host
	auth authn.AuthConfig
}

// keyring is what a pod may pull with. The nil keyring is empty.
type keyring struct {
	byHost map[string]hostKeys // by canonical host
}

type hostKeys struct {
	id          string // hash of the host and all of them
	credentials []*credential
}

// newKeyring reads pull secrets, skipping what it cannot read, as the kubelet does: an entry that is broken is no credential.
func newKeyring(secrets []*corev1.Secret) *keyring {
	k := &keyring{byHost: map[string]hostKeys{}}
	for _, secret := range secrets {
		for key, raw := range secretEntries(secret) {
			k.add(key, raw)
		}
	}
	for host, keys := range k.byHost {
		// The most specific first, as the kubelet tries them; the rest of the order only has to be the same each time.
		slices.SortFunc(keys.credentials, func(a, b *credential) int {
			return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.path, b.path), cmp.Compare(a.id, b.id))
		})
		ids := []string{host}
		for _, c := range keys.credentials {
			ids = append(ids, c.id)
		}
		keys.id = hash(ids...)
		k.byHost[host] = keys
	}
	return k
}

// secretEntries are the entries of a secret of one of the two pull secret types, by registry.
func secretEntries(secret *corev1.Secret) map[string]json.RawMessage {
	var entries map[string]json.RawMessage
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		var file struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		if json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &file) == nil {
			entries = file.Auths
		}
	case corev1.SecretTypeDockercfg:
		if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &entries) != nil {
			return nil
		}
	}
	return entries
}

func (k *keyring) add(key string, raw json.RawMessage) {
	host, path, ok := credentialScope(key)
	var auth authn.AuthConfig
	if !ok || json.Unmarshal(raw, &auth) != nil {
		return
	}
	auth.Auth = "" // is in Username and Password now
	if size := authSize(auth); size == 0 || size > maxCredential {
		return
	}
	c := &credential{path: path, auth: auth}
	c.id = hash(path, auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken)
	keys := k.byHost[host]
	keys.credentials = append(keys.credentials, c)
	k.byHost[host] = keys
}

func authSize(a authn.AuthConfig) int {
	return len(a.Username) + len(a.Password) + len(a.IdentityToken) + len(a.RegistryToken)
}

// cost is about how much memory k holds.
func (k *keyring) cost() int {
	n := 256
	for host, keys := range k.byHost {
		n += 256 + len(host)
		for _, c := range keys.credentials {
			n += 256 + len(c.path) + authSize(c.auth)
		}
	}
	return n
}

// credentialScope reads the key of an entry: a host, with an optional scheme, API version and path.
func credentialScope(key string) (host, path string, ok bool) {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, path, _ = strings.Cut(key, "/")
	path += "/"
	path = strings.TrimPrefix(strings.TrimPrefix(path, "v1/"), "v2/")
	return CanonicalRegistry(host), strings.Trim(path, "/"), validHost(host)
}

// hash is one identity for some texts, which the identity does not give away.
func hash(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// candidates are the credentials for src, in the order to try them.
func (k *keyring) candidates(src source) []*credential {
	if k == nil {
		return nil
	}
	var all []*credential
	for _, c := range k.byHost[src.host].credentials {
		if strings.HasPrefix(src.repository, c.path) && len(all) < maxCandidates {
			all = append(all, c)
		}
	}
	return all
}

// identity tells apart whose answers are whose: keyrings with the same credentials for the hosts of a reference share answers, and
// all without any share those of the ambient credential, which everybody falls back to.
func (k *keyring) identity(sources []source) string {
	id := ""
	if k == nil {
		return id
	}
	for _, src := range sources {
		id += k.byHost[src.host].id
	}
	return id
}

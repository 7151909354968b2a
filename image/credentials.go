package image

import (
	"cmp"
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"
	"github.com/google/go-containerregistry/pkg/v1/google"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
)

// Credentials says whose pull secrets may be used for a review: those in one namespace, which is the request's, never one that the
// object names. The zero value uses none.
type Credentials struct {
	Namespace      string
	ServiceAccount string   // its imagePullSecrets count when PullSecrets is empty, as in Kubernetes; empty means default
	PullSecrets    []string // the pod's imagePullSecrets
}

// PullSecretReader reads what Credentials name. It is asked only for the namespace in Credentials.
type PullSecretReader interface {
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)
}

// AmbientKeychain is the credentials of the process itself: the docker configuration with its credential helpers (Amazon's and
// Azure's among them), Google's application default credentials, and GITHUB_TOKEN for ghcr.io.
func AmbientKeychain() authn.Keychain {
	return authn.NewMultiKeychain(authn.DefaultKeychain, google.Keychain, github.Keychain)
}

const (
	keyringTTL = 30 * time.Second
	maxSecrets = 16 // of one pod
)

type keptKeyring struct {
	keys    *keyring
	expires time.Time
}

// keyring reads the pull secrets that who names. One that cannot be read is no credential, as for the kubelet: the registry then
// refuses, and that is the finding.
func (r *Registries) keyring(ctx context.Context, who Credentials) *keyring {
	if r.secrets == nil || who.Namespace == "" {
		return nil
	}
	key := hash(append([]string{who.Namespace, who.ServiceAccount}, who.PullSecrets...)...)
	if kept, ok := r.keyrings.get(key); ok && r.now().Before(kept.expires) {
		return kept.keys
	}
	keys, _ := fly(ctx, &r.flights, "keyring "+key, func(ctx context.Context) (*keyring, error) {
		keys, complete := r.readKeyring(ctx, who)
		ttl := negativeTTL
		if complete {
			ttl = keyringTTL
		}
		r.keyrings.put(key, keptKeyring{keys, r.now().Add(ttl)}, len(key)+keys.cost())
		return keys, nil
	})
	return keys // nil when ctx ended first: then nothing else will be in time either
}

func (r *Registries) readKeyring(ctx context.Context, who Credentials) (keys *keyring, complete bool) {
	names, complete := r.secretNames(ctx, who)
	var secrets []*corev1.Secret
	for _, name := range names[:min(len(names), maxSecrets)] {
		if len(content.IsPathSegmentName(name)) > 0 { // a template can have any text here: a path to somewhere else
			continue
		}
		secret, err := r.secrets.Secret(ctx, who.Namespace, name)
		if err != nil {
			complete = false
			continue
		}
		secrets = append(secrets, secret)
	}
	return newKeyring(secrets), complete
}

func (r *Registries) secretNames(ctx context.Context, who Credentials) (names []string, complete bool) {
	name := cmp.Or(who.ServiceAccount, "default")
	if len(who.PullSecrets) > 0 || len(content.IsPathSegmentName(name)) > 0 {
		return who.PullSecrets, true
	}
	account, err := r.secrets.ServiceAccount(ctx, who.Namespace, name)
	if err != nil {
		return nil, false
	}
	for _, ref := range account.ImagePullSecrets {
		names = append(names, ref.Name)
	}
	return names, true
}

// ambientAuth asks the keychain, which may run a helper or ask a cloud and may ignore its context: it is given up on in time.
func (c *client) ambientAuth(ctx context.Context, src source) authn.AuthConfig {
	if c.ambient == nil {
		return authn.AuthConfig{}
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	done := make(chan authn.AuthConfig, 1)
	go func() {
		began, auth := c.now(), &authn.AuthConfig{}
		err := guard(func() error {
			detached := context.WithoutCancel(ctx) // some keychains keep the first context that they see
			authenticator, err := authn.Resolve(detached, c.ambient, resource(src))
			if err == nil {
				auth, err = authn.Authorization(detached, authenticator)
			}
			return err
		})
		c.metrics.request("keychain", began, &err)
		if err != nil || auth == nil {
			auth = &authn.AuthConfig{}
		}
		done <- *auth
	}()
	select {
	case auth := <-done:
		return auth
	case <-ctx.Done():
		return authn.AuthConfig{}
	}
}

// resource is src as keychains look it up: Docker Hub has an older name there.
type resource source

func (r resource) RegistryStr() string {
	if r.host == dockerHub {
		return "index.docker.io"
	}
	return r.host
}

func (r resource) String() string { return r.RegistryStr() + "/" + r.repository }

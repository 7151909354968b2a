package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
)

// pullSecrets reads Secrets and ServiceAccounts when a review needs them. They
// are not cached here: a cache would hold every Secret of the cluster.
type pullSecrets struct{ live client.Reader }

// Secret returns a Secret of the namespace.
func (p pullSecrets) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	if err := p.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, err
	}
	return &secret, nil
}

// ServiceAccount returns a ServiceAccount of the namespace.
func (p pullSecrets) ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	var account corev1.ServiceAccount
	if err := p.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &account); err != nil {
		return nil, err
	}
	return &account, nil
}

// credentials are the pull secrets that a workload's pods use, always those of
// the namespace that the request is for: an object cannot name another one.
func credentials(r engine.Review) image.Credentials {
	who := image.Credentials{Namespace: r.Namespace.Name, ServiceAccount: r.Workload.Spec.ServiceAccountName}
	for _, s := range r.Workload.Spec.ImagePullSecrets {
		who.PullSecrets = append(who.PullSecrets, s.Name)
	}
	return who
}

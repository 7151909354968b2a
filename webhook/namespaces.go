package webhook

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	psadmission "k8s.io/pod-security-admission/admission"
	psconfig "k8s.io/pod-security-admission/admission/api"
	psapi "k8s.io/pod-security-admission/api"
	psmetrics "k8s.io/pod-security-admission/metrics"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	jsonv2 "github.com/go-json-experiment/json"
)

// namespaces looks namespaces up in the cache and, since a pod often follows its
// namespace faster than a watch does, live where the cache has none.
type namespaces struct{ cached, live client.Reader }

// GetNamespace returns the namespace. The caller must not modify it.
func (n namespaces) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	var namespace corev1.Namespace
	err := n.cached.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	if apierrors.IsNotFound(err) {
		err = n.live.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	}
	if err != nil {
		return nil, err
	}
	return &namespace, nil
}

// maxPods bounds the pods that a changed namespace label is checked against; it
// is what Kubernetes itself checks.
const maxPods = 3000

// ListPods returns pods of a namespace for the warnings about a raised level.
func (n namespaces) ListPods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	var list corev1.PodList
	if err := n.live.List(ctx, &list, client.InNamespace(namespace), client.Limit(maxPods)); err != nil {
		return nil, fmt.Errorf("listing the pods of namespace %q: %w", namespace, err)
	}
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
	}
	return pods, nil
}

// labelAdmission answers reviews of namespaces with upstream's own code: an
// invalid Pod Security label is refused, a raised level warns about what runs.
type labelAdmission struct{ upstream *psadmission.Admission }

func newLabelAdmission(n namespaces, evaluator policy.Evaluator) (*labelAdmission, error) {
	a := &psadmission.Admission{
		Configuration: &psconfig.PodSecurityConfiguration{Defaults: psconfig.PodSecurityDefaults{
			Enforce: string(psapi.LevelPrivileged), EnforceVersion: psapi.VersionLatest,
			Warn: string(psapi.LevelPrivileged), WarnVersion: psapi.VersionLatest,
			Audit: string(psapi.LevelPrivileged), AuditVersion: psapi.VersionLatest,
		}},
		Evaluator:       evaluator,
		Metrics:         noMetrics{},
		NamespaceGetter: n,
		PodLister:       n,
	}
	if err := a.CompleteConfiguration(); err != nil {
		return nil, fmt.Errorf("completing the admission of namespace labels: %w", err)
	}
	if err := a.ValidateConfiguration(); err != nil {
		return nil, fmt.Errorf("checking the admission of namespace labels: %w", err)
	}
	return &labelAdmission{upstream: a}, nil
}

// admit answers a review of a namespace. Upstream shares some of its responses,
// so that the answer must not be modified.
func (l *labelAdmission) admit(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	return l.upstream.ValidateNamespace(ctx, attributes{req})
}

func isNamespace(req *request) bool {
	return req.Resource.Group == "" && req.Resource.Resource == "namespaces"
}

// attributes shows a request to upstream's code.
type attributes struct{ *request }

func (a attributes) GetName() string                     { return a.Name }
func (a attributes) GetNamespace() string                { return a.Namespace }
func (a attributes) GetSubresource() string              { return a.Subresource }
func (a attributes) GetOperation() admissionv1.Operation { return a.Operation }
func (a attributes) GetUserName() string                 { return a.UserInfo.Username }
func (a attributes) GetObject() (runtime.Object, error)  { return decodeNamespace(a.Object) }

func (a attributes) GetOldObject() (runtime.Object, error) { return decodeNamespace(a.OldObject) }

func (a attributes) GetResource() schema.GroupVersionResource {
	return schema.GroupVersionResource(a.Resource)
}

func (a attributes) GetKind() schema.GroupVersionKind { return schema.GroupVersionKind(a.Kind) }

func decodeNamespace(data []byte) (runtime.Object, error) {
	var namespace struct {
		Metadata struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := jsonv2.Unmarshal(data, &namespace); err != nil {
		return nil, fmt.Errorf("decoding the namespace: %w", err)
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace.Metadata.Name, Labels: namespace.Metadata.Labels,
	}}, nil
}

// noMetrics keeps upstream from counting: portcullis_admission_* does.
type noMetrics struct{}

func (noMetrics) RecordEvaluation(psmetrics.Decision, psapi.LevelVersion, psmetrics.Mode, psapi.Attributes) {
}
func (noMetrics) RecordExemption(psapi.Attributes)   {}
func (noMetrics) RecordError(bool, psapi.Attributes) {}

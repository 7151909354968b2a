package admission_test

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestHarmlessUpdatesOfEveryKind does to each of the nine kinds what must never be
// blocked by what already runs: scaling, labels, annotations, finalizers, deleting,
// and the end of what is being deleted. The policy refuses all that is bad, that
// which was there before too.
func TestHarmlessUpdatesOfEveryKind(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	objects := map[string]client.Object{}
	for _, kind := range suite.Kinds() {
		objects[kind.Name] = create(t, c.Client, kind.New(namespace, "bad", badSpec()))
	}
	c.Policy(t, namespace, `{existingViolations: Deny, mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}`)
	wantRefusal(t, c.Client.Create(t.Context(), suite.Deployment.New(namespace, "new", badSpec())), "securityContext.privileged is true")
	quiet, warnings := c.NewClient(t, nil)

	for kind, object := range objects {
		t.Run(kind, func(t *testing.T) {
			harmless := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if got := warnings.Take(); len(got) > 0 {
					t.Errorf("%s: got warnings %q, want none", what, got)
				}
			}
			patch := func(merge string) {
				t.Helper()
				harmless(merge, quiet.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(merge))))
			}
			patch(`{"metadata": {"labels": {"team": "shop"}}}`)
			patch(`{"metadata": {"labels": {"team": null}}}`)
			patch(`{"metadata": {"annotations": {"note": "seen"}}}`)
			patch(`{"metadata": {"finalizers": ["e2e.portcullis.dev/hold"]}}`)
			switch kind {
			case "Deployment", "ReplicaSet", "StatefulSet", "ReplicationController":
				patch(`{"spec": {"replicas": 3}}`)
				scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bad"}, Spec: autoscalingv1.ScaleSpec{Replicas: 2}}
				harmless("scaling", quiet.SubResource("scale").Update(t.Context(), object, client.WithSubResourceBody(scale)))
			case "Job":
				patch(`{"spec": {"suspend": true}}`)
				patch(`{"spec": {"parallelism": 2}}`)
			case "CronJob":
				patch(`{"spec": {"suspend": true}}`)
			}
			harmless("deleting", quiet.Delete(t.Context(), object, client.PropagationPolicy(metav1.DeletePropagationBackground), client.GracePeriodSeconds(0)))
			patch(`{"metadata": {"labels": {"ends": "soon"}}}`)
			patch(`{"metadata": {"finalizers": []}}`)
			if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
				t.Errorf("got %v, want it gone", err)
			}
		})
	}

	more := suite.StatefulSet.New(namespace, "more", suite.GoodSpec())
	create(t, c.Client, more)
	if err := quiet.DeleteAllOf(t.Context(), more, client.InNamespace(namespace)); err != nil {
		t.Errorf("deleting a collection: %v", err)
	}
}

// TestExistingFindings holds what makes a finding the one that was there before: the
// same rule, the same container and the same value. Each change leads to one that is
// new, and is refused; what was there is tolerated with a warning.
func TestExistingFindings(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	bad := func() corev1.PodSpec {
		spec := suite.GoodSpec()
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		spec.Containers = append(spec.Containers, suite.GoodContainer("second"))
		return spec
	}
	for name, test := range map[string]struct {
		change func(*corev1.PodSpec)
		want   string // empty: tolerated
	}{
		"something else": {func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }, ""},
		"another value":  {func(s *corev1.PodSpec) { s.Containers[0].Ports[0].HostPort = 81 }, "hostPort is 81"},
		"another container": {func(s *corev1.PodSpec) {
			s.Containers[1].Ports = []corev1.ContainerPort{{ContainerPort: 81, HostPort: 80, Protocol: corev1.ProtocolUDP}}
		}, `container "second"`},
		"another rule": {func(s *corev1.PodSpec) { s.Containers[0].SecurityContext = badContainer("x").SecurityContext }, "securityContext.privileged is true"},
		"a better one": {func(s *corev1.PodSpec) { s.Containers[0].Ports[0].HostPort = 0 }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := c.Namespace(t, nil)
			deployment := create(t, c.Client, suite.Deployment.New(namespace, "web", bad()))
			c.Policy(t, namespace, baseline)
			admin, warnings := c.NewClient(t, nil)
			test.change(suite.SpecOf(deployment))
			err := admin.Update(t.Context(), deployment)
			warned := strings.Join(warnings.Take(), "\n")
			switch test.want {
			case "":
				if err != nil || !strings.Contains(warned, "hostPort is 80") {
					t.Errorf("got %v and warnings %q, want it let through with a warning", err, warned)
				}
			case "none":
				if err != nil || warned != "" {
					t.Errorf("got %v and warnings %q, want it let through", err, warned)
				}
			default:
				wantRefusal(t, err, test.want)
			}
		})
	}
}

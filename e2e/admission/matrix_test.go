package admission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// position is a place for a container in a pod spec that has one container.
type position struct {
	name string
	// path is the container's below the pod spec.
	path string
	at   func(*corev1.PodSpec) *[]corev1.Container
	// sidecar makes an init container one.
	sidecar bool
}

func positions() []position {
	regular := func(s *corev1.PodSpec) *[]corev1.Container { return &s.Containers }
	initial := func(s *corev1.PodSpec) *[]corev1.Container { return &s.InitContainers }
	return []position{
		{name: "containers", path: ".containers[1]", at: regular},
		{name: "initContainers", path: ".initContainers[0]", at: initial},
		{name: "sidecars", path: ".initContainers[0]", at: initial, sidecar: true},
	}
}

// with is a good pod spec with a container in this position.
func (p position) with(c corev1.Container) corev1.PodSpec {
	if p.sidecar {
		c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	}
	spec := suite.GoodSpec()
	list := p.at(&spec)
	*list = append(*list, c)
	return spec
}

// in is the container that with has added.
func (p position) in(spec *corev1.PodSpec) *corev1.Container {
	list := *p.at(spec)
	return &list[len(list)-1]
}

// TestMatrix is T01, T02, T04 and T06: in every kind of object, in every list of
// containers, on creation and update, a bad container is refused and a tag is
// pinned. Ephemeral containers, which exist only in pods and only through their
// subresource, are TestEphemeralContainers.
func TestMatrix(t *testing.T) {
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	for _, kind := range suite.Kinds() {
		for _, p := range positions() {
			t.Run(kind.Name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				m := matrixCase{Cluster: c, namespace: namespace, kind: kind, position: p}
				t.Run("create", m.create)
				t.Run("update", m.update)
			})
		}
	}
}

type matrixCase struct {
	*suite.Cluster
	namespace string
	kind      suite.Kind
	position  position
}

func (m matrixCase) object(name string, container corev1.Container) client.Object {
	return m.kind.New(m.namespace, strings.ToLower(m.position.name)+"-"+name, m.position.with(container))
}

func (m matrixCase) create(t *testing.T) {
	bad := m.object("bad", badContainer("extra"))
	wantRefusal(t, m.Client.Create(t.Context(), bad), m.kind.Path+m.position.path+".securityContext.privileged is true")

	good := create(t, m.Client, m.object("good", suite.GoodContainer("extra")))
	wantImage(t, m.position.in(suite.SpecOf(good)).Image, m.Registry.Pinned(harness.NginxImage))
}

func (m matrixCase) update(t *testing.T) {
	object := create(t, m.Client, m.object("old", suite.GoodContainer("extra")))
	container := m.position.in(suite.SpecOf(object))
	switch m.kind {
	case suite.Job:
		// Its template cannot be changed, which the API server sees to.
		container.Image = harness.FlaskImage
		if err := m.Client.Update(t.Context(), object); !apierrors.IsInvalid(err) {
			t.Errorf("got %v, want the API server to find it invalid", err)
		}
		return
	case suite.Pod:
		// Of its containers only the images can be changed, so that a bad one is one
		// that cannot be pinned.
		container.Image = unreachable
		wantRefusal(t, m.Client.Update(t.Context(), object), m.kind.Path+m.position.path+".image", unreachable)
	default:
		container.SecurityContext = badContainer("").SecurityContext
		wantRefusal(t, m.Client.Update(t.Context(), object), m.kind.Path+m.position.path+".securityContext.privileged is true")
		container.SecurityContext = suite.GoodContainer("").SecurityContext
	}
	container.Image = harness.FlaskImage
	if err := m.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	wantImage(t, m.position.in(suite.SpecOf(object)).Image, m.Registry.Pinned(harness.FlaskImage))
}

// TestEphemeralContainers is T01, kubectl debug.
func TestEphemeralContainers(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, pinnedAndSafe)
	pod := create(t, c.Client, suite.Pod.New(namespace, "main", suite.GoodSpec())).(*corev1.Pod)
	debug := func(container corev1.Container) error {
		pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon(container),
		}}
		return c.Client.SubResource("ephemeralcontainers").Update(t.Context(), pod)
	}
	wantRefusal(t, debug(badContainer("debug")), "spec.ephemeralContainers[0].securityContext.privileged is true")
	unpinnable := suite.GoodContainer("debug")
	unpinnable.Image = unreachable
	wantRefusal(t, debug(unpinnable), "spec.ephemeralContainers[0].image", unreachable)
	if err := debug(suite.GoodContainer("debug")); err != nil {
		t.Fatal(err)
	}
	wantImage(t, pod.Spec.EphemeralContainers[0].Image, c.Registry.Pinned(harness.NginxImage))
}

// TestEphemeralContainersElsewhere holds the reason for their absence from
// TestMatrix: the API server itself lets nobody create them.
func TestEphemeralContainersElsewhere(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	spec := suite.GoodSpec()
	spec.EphemeralContainers = []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon(suite.GoodContainer("debug")),
	}}
	for _, kind := range suite.Kinds() {
		if err := c.Client.Create(t.Context(), kind.New(namespace, "main", spec)); !apierrors.IsInvalid(err) {
			t.Errorf("%s: got %v, want the API server to find it invalid", kind.Name, err)
		}
	}
}

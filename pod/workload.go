// Package pod sees the nine Kubernetes kinds that carry a pod template as one
// Workload.
//
// Without it every rule would know nine shapes and three container lists, and
// the one it forgot would be the way around the rule: forgotten ephemeral
// containers, init containers and subresources are the most repeated bypass in
// this field (CVE-2023-2727, CVE-2023-2728, CVE-2024-3177).
package pod

import (
	"iter"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MirrorAnnotation marks the API server's copy of a static pod. The kubelet
// refuses to run a static pod whose mirror differs from its file.
const MirrorAnnotation = corev1.MirrorPodAnnotationKey

// Workload is an object that carries a pod template, or a Pod, which is its own
// template. It is a view: fields that nothing here reads (status, managed
// fields, fields of a newer API) are not kept, they live on in the raw bytes.
type Workload struct {
	Kind Kind
	// Metadata is the object's own. Name is empty while only generateName is set.
	Metadata metav1.ObjectMeta
	// Template is the metadata that the object's pods get; a Pod's own.
	Template *metav1.ObjectMeta
	// Spec is what its pods run. It is nil for a ReplicationController without
	// a template, which can make no pods.
	Spec *corev1.PodSpec
}

// FromPod is the workload of a Pod. It shares the Pod's memory.
func FromPod(p *corev1.Pod) *Workload {
	return &Workload{Kind: kinds[0], Metadata: p.ObjectMeta, Template: &p.ObjectMeta, Spec: &p.Spec}
}

// DisplayName is the name for messages: the object's, or its generateName.
func (w *Workload) DisplayName() string {
	if w.Metadata.Name != "" {
		return w.Metadata.Name
	}
	return w.Metadata.GenerateName
}

// TemplatePath is the path of the pod template's metadata and spec.
func (w *Workload) TemplatePath() Path { return w.Kind.Template() }

// SpecPath is the path of the pod spec: spec.template.spec for a Deployment.
func (w *Workload) SpecPath() Path { return specs[w.Kind.Name] }

// DeepCopy returns a copy that shares nothing with w.
func (w *Workload) DeepCopy() *Workload {
	c := &Workload{Kind: w.Kind, Spec: w.Spec.DeepCopy()}
	w.Metadata.DeepCopyInto(&c.Metadata)
	c.Template = w.Template.DeepCopy()
	if w.Kind.IsPod() {
		c.Template = &c.Metadata
	}
	return c
}

// ContainerType says which list of the pod spec a container stands in, and tells
// a sidecar from an init container that ends.
type ContainerType string

// The container types.
const (
	Regular   ContainerType = "container"
	Init      ContainerType = "init container"
	Sidecar   ContainerType = "sidecar" // an init container with restartPolicy Always
	Ephemeral ContainerType = "ephemeral container"
)

// Container is one container of a workload. The embedded one is not a copy: an
// ephemeral container is seen as an ordinary one, as upstream's visitors do.
type Container struct {
	*corev1.Container
	Type     ContainerType
	Index    int // in its own list, from 0
	workload *Workload
}

// Path is the container's exact place: spec.template.spec.initContainers[1].
func (c Container) Path() Path {
	list := "containers"
	switch c.Type {
	case Init, Sidecar:
		list = "initContainers"
	case Ephemeral:
		list = "ephemeralContainers"
	}
	spec, n := c.workload.SpecPath(), strconv.Itoa(c.Index)
	return Path{text: spec.text + "." + list + "[" + n + "]", pointer: spec.pointer + "/" + list + "/" + n}
}

// Containers iterates over every container: init containers, containers,
// ephemeral containers, each list in its own order.
func (w *Workload) Containers() iter.Seq[Container] {
	return func(yield func(Container) bool) {
		if w.Spec == nil {
			return
		}
		for i := range w.Spec.InitContainers {
			c := &w.Spec.InitContainers[i]
			kind := Init
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				kind = Sidecar
			}
			if !yield(Container{c, kind, i, w}) {
				return
			}
		}
		for i := range w.Spec.Containers {
			if !yield(Container{&w.Spec.Containers[i], Regular, i, w}) {
				return
			}
		}
		for i := range w.Spec.EphemeralContainers {
			c := (*corev1.Container)(&w.Spec.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(Container{c, Ephemeral, i, w}) {
				return
			}
		}
	}
}

// Image is one place of a workload that names an image to pull.
type Image struct {
	// Reference is as written and may be changed in place. It is never empty.
	Reference *string
	// Name is that of the container, or of the volume.
	Name string
	// Container is nil for an image volume.
	Container *Container

	workload *Workload
	index    int
}

// Path is the exact place of the reference.
func (i Image) Path() Path {
	if i.Container != nil {
		return i.Container.Path().Child("image")
	}
	return i.workload.SpecPath().Child("volumes").Index(i.index).Child("image").Child("reference")
}

// Images iterates over every image that a workload pulls: those of its
// containers in the order of Containers, then those of its image volumes. A
// template may leave an image empty for somebody else to fill in; such a one is
// passed over.
func (w *Workload) Images() iter.Seq[Image] {
	return func(yield func(Image) bool) {
		for c := range w.Containers() {
			if c.Image != "" && !yield(Image{Reference: &c.Image, Name: c.Name, Container: &c}) {
				return
			}
		}
		if w.Spec == nil {
			return
		}
		for i := range w.Spec.Volumes {
			v := &w.Spec.Volumes[i]
			if v.Image == nil || v.Image.Reference == "" {
				continue
			}
			if !yield(Image{Reference: &v.Image.Reference, Name: v.Name, workload: w, index: i}) {
				return
			}
		}
	}
}

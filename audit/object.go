package audit

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/pod"
)

// header is what the scan itself reads of an object. Of one that has not changed
// nothing else is read.
type header struct {
	Metadata struct {
		Name            string                  `json:"name"`
		Namespace       string                  `json:"namespace"`
		UID             string                  `json:"uid"`
		ResourceVersion string                  `json:"resourceVersion"`
		Created         string                  `json:"creationTimestamp"`
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Replicas *int32 `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		Conditions []struct {
			Type   string                 `json:"type"`
			Status corev1.ConditionStatus `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func readHeader(object jsontext.Value) (*header, error) {
	var h header
	if err := json.Unmarshal(object, &h, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("decoding metadata: %w", err)
	}
	return &h, nil
}

// owner is the object's controller, without a UID where it has none.
func (h *header) owner() metav1.OwnerReference {
	for _, o := range h.Metadata.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o
		}
	}
	return metav1.OwnerReference{}
}

// idle reports whether an object runs nothing and never will by itself: it is what
// its controller keeps for the record.
func (h *header) idle(kind pod.Kind) bool {
	switch kind.Name {
	case "ReplicaSet":
		return h.Spec.Replicas != nil && *h.Spec.Replicas == 0
	case "Pod":
		return h.Status.Phase == corev1.PodSucceeded || h.Status.Phase == corev1.PodFailed
	case "Job":
		for _, c := range h.Status.Conditions {
			if (c.Type == "Complete" || c.Type == "Failed") && c.Status == corev1.ConditionTrue {
				return true
			}
		}
	}
	return false
}

// key stands for everything that a judgement of an object depends on, but for
// facts about images.
type key [16]byte

// surroundings are what a judgement depends on beside the object.
type surroundings struct {
	version   string
	namespace string
	labels    map[string]string
	// excepting are the exceptions that select the object, which go by its name.
	excepting []string
	// object is what expressions read of it, nil where they read its template alone.
	object jsontext.Value
}

// keyOf is the key of a workload. Pods that only differ in what makes each its own
// have the same one; where the object counts that is said of the pods of one owner, and
// any other object is a case of its own.
func keyOf(w *pod.Workload, c surroundings) (key, error) {
	content := struct {
		Version, Namespace  string
		NamespaceLabels     map[string]string
		Kind                string
		Excepting           []string
		Owner               string
		Labels, Annotations map[string]string
		Template            *metav1.ObjectMeta
		Spec                *corev1.PodSpec
		Object              jsontext.Value
	}{
		Version: c.version, Namespace: c.namespace, NamespaceLabels: c.labels, Kind: w.Kind.Name, Excepting: c.excepting,
		Labels: shared(w.Metadata.Labels), Annotations: shared(w.Metadata.Annotations), Spec: w.Spec,
	}
	owner := pod.ControllerOf(w)
	if owner != nil {
		content.Owner = owner.APIVersion + " " + owner.Kind
	}
	switch {
	case c.object == nil:
	case owner != nil && w.Kind.IsPod():
		content.Owner += " " + string(owner.UID)
	default:
		content.Object = c.object
	}
	if w.Kind.IsPod() {
		content.Spec = withoutIdentity(w.Spec)
	} else if w.Template != nil {
		content.Template = &metav1.ObjectMeta{Labels: w.Template.Labels, Annotations: w.Template.Annotations}
	}
	data, err := json.Marshal(content, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return key{}, fmt.Errorf("hashing %s %q: %w", w.Kind.Name, w.DisplayName(), err)
	}
	sum := sha256.Sum256(data)
	return key(sum[:len(key{})]), nil
}

// underWay are fields of metadata that change while an object stays what it is.
var underWay = []string{"managedFields", "resourceVersion", "generation"}

// asApplied is an object as expressions read it: with the kind that items of lists go
// without, and without its status and what else changes by itself.
func asApplied(kind pod.Kind, object jsontext.Value) (jsontext.Value, error) {
	lax := json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var fields, metadata map[string]jsontext.Value
	if err := json.Unmarshal(object, &fields, lax); err != nil {
		return nil, fmt.Errorf("decoding the object: %w", err)
	}
	if err := json.Unmarshal(fields["metadata"], &metadata, lax); err != nil {
		return nil, fmt.Errorf("decoding metadata: %w", err)
	}
	for _, name := range underWay {
		delete(metadata, name)
	}
	delete(fields, "status")
	for name, value := range map[string]any{"metadata": metadata, "kind": kind.Name, "apiVersion": kind.APIVersion()} {
		data, err := json.Marshal(value, lax, json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", name, err)
		}
		fields[name] = data
	}
	return json.Marshal(fields, lax, json.Deterministic(true))
}

// own are labels and annotations, by their prefixes, whose values each object has
// for itself. That they are there counts, what they say does not.
var own = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/",
	pod.MirrorAnnotation, "kubernetes.io/config.", "deployment.kubernetes.io/", "deprecated.daemonset.template.generation",
	"kubectl.kubernetes.io/last-applied-configuration",
	// What network plugins note at pods.
	"cni.projectcalico.org/", "k8s.v1.cni.cncf.io/", "k8s.ovn.org/",
}

func shared(values map[string]string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	all := make(map[string]string, len(values))
	for name, value := range values {
		for _, prefix := range own {
			if strings.HasPrefix(name, prefix) {
				value = ""
				break
			}
		}
		all[name] = value
	}
	return all
}

// tokenVolume begins the name of the volume that the API server gives each pod for
// its service account, which ends in letters that are random.
const tokenVolume = "kube-api-access-"

// withoutIdentity is a pod's spec without what the scheduler, the API server and
// controllers give each pod for itself, and no rule looks at.
func withoutIdentity(spec *corev1.PodSpec) *corev1.PodSpec {
	s := spec.DeepCopy()
	s.NodeName, s.Hostname = "", ""
	s.Affinity = nil // a DaemonSet pins each of its pods to a node by it
	s.Tolerations = nil
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if v.Projected != nil && strings.HasPrefix(v.Name, tokenVolume) {
			v.Name = tokenVolume
		}
		if v.PersistentVolumeClaim != nil {
			v.PersistentVolumeClaim.ClaimName = ""
		}
	}
	mounts := func(list []corev1.VolumeMount) {
		for i := range list {
			if strings.HasPrefix(list[i].Name, tokenVolume) {
				list[i].Name = tokenVolume
			}
		}
	}
	for i := range s.InitContainers {
		mounts(s.InitContainers[i].VolumeMounts)
	}
	for i := range s.Containers {
		mounts(s.Containers[i].VolumeMounts)
	}
	return s
}

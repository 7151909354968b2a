package security

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/pod"
)

// remedy is a candidate for an offence: an edit, and how to do and undo it on
// the workload it was made for.
type remedy struct {
	Offence
	apply, revert func()
	// judged is the part of the pod spec by which the edit is judged once all
	// others are made. It shares its memory with the whole.
	judged *corev1.PodSpec
}

// remedies returns the candidates for a violated check. A candidate may turn out
// not to be needed; what matters is that together they suffice. Each control and
// its restricted fields are those of the Pod Security Standards
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
func remedies(v Violation, w *pod.Workload) []remedy {
	c := &collector{workload: w, passes: v.Passes}
	switch v.Check {
	case PrivilegeEscalation:
		c.containers(func(at place, sc *corev1.SecurityContext) {
			set(c, at.child("allowPrivilegeEscalation"), &sc.AllowPrivilegeEscalation, escalation)
		})
	case "appArmorProfile":
		c.appArmor()
	case "capabilities_baseline", Capabilities:
		c.containers(c.capabilities)
	case "hostNamespaces":
		c.hostNamespaces()
	case "hostPathVolumes", "restrictedVolumes":
		c.volumes()
	case "hostPorts":
		c.hostPorts()
	case "hostProbesAndHostLifecycle":
		c.handlerHosts()
	case "privileged":
		c.containers(func(at place, sc *corev1.SecurityContext) {
			set(c, at.child("privileged"), &sc.Privileged, false)
		})
	case "procMount", "procMount_restricted":
		c.containers(func(at place, sc *corev1.SecurityContext) {
			set(c, at.child("procMount"), &sc.ProcMount, corev1.DefaultProcMount)
		})
	case NonRoot:
		c.runAsNonRoot()
	case "runAsUser":
		c.runAsUser()
	case "seLinuxOptions":
		c.seLinux()
	case "seccompProfile_baseline", Seccomp:
		c.seccomp()
	case "sysctls":
		c.sysctls()
	case "windowsHostProcess":
		c.hostProcess()
	}
	return c.found
}

// collector gathers candidates from a workload that it may complete with empty
// security contexts: to every check an empty one is as good as none.
type collector struct {
	workload *pod.Workload
	passes   func(*metav1.ObjectMeta, *corev1.PodSpec) bool
	found    []remedy
}

// place is a field, and the container it belongs to.
type place struct {
	container string
	path      pod.Path
	// judged is the pod spec with nothing but that container. A pod of thousands
	// of containers is judged one by one, not all of them for each of them.
	judged *corev1.PodSpec
}

func (p place) child(names ...string) place {
	for _, name := range names {
		p.path = p.path.Child(name)
	}
	return p
}

func (p place) index(i int) place {
	p.path = p.path.Index(i)
	return p
}

func (c *collector) spec() place {
	return place{path: c.workload.SpecPath(), judged: c.workload.Spec}
}

func (c *collector) container(container pod.Container) place {
	alone := *c.workload.Spec
	alone.InitContainers, alone.Containers, alone.EphemeralContainers, alone.Volumes = nil, nil, nil, nil
	i := container.Index
	switch container.Type {
	case pod.Init, pod.Sidecar:
		alone.InitContainers = c.workload.Spec.InitContainers[i : i+1]
	case pod.Ephemeral:
		alone.EphemeralContainers = c.workload.Spec.EphemeralContainers[i : i+1]
	default:
		alone.Containers = c.workload.Spec.Containers[i : i+1]
	}
	return place{container: container.Name, path: container.Path(), judged: &alone}
}

func (c *collector) containers(visit func(at place, sc *corev1.SecurityContext)) {
	for container := range c.workload.Containers() {
		if container.SecurityContext == nil {
			container.SecurityContext = &corev1.SecurityContext{}
		}
		visit(c.container(container).child("securityContext"), container.SecurityContext)
	}
}

func (c *collector) podContext() (place, *corev1.PodSecurityContext) {
	spec := c.workload.Spec
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	return c.spec().child("securityContext"), spec.SecurityContext
}

// add records a candidate that changes one field.
func add[T any](c *collector, at place, field *T, change Offence, value T) {
	was := *field
	change.Container, change.Edit.Path = at.container, at.path
	c.found = append(c.found, remedy{
		Offence: change,
		apply:   func() { *field = value },
		revert:  func() { *field = was },
		judged:  at.judged,
	})
}

// set is a candidate that gives an optional field a value.
func set[T any](c *collector, at place, field **T, value T) {
	edit := pod.Edit{New: value}
	if *field != nil {
		edit.Old = **field
	}
	add(c, at, field, Offence{Edit: edit, Fix: fmt.Sprintf("set it to %v", value)}, &value)
}

// replace is a candidate that changes a text.
func (c *collector) replace(at place, field *string, value string) {
	add(c, at, field, Offence{Edit: pod.Edit{Old: *field, New: value}, Fix: "set it to " + value}, value)
}

// unset is a candidate that takes a field away that has a value.
func unset[T comparable](c *collector, at place, field *T, fix string) {
	var zero T
	if *field == zero {
		return
	}
	add(c, at, field, Offence{Edit: pod.Edit{Old: *field}, Fix: fix}, zero)
}

// keep is a candidate that leaves only the allowed elements in a list.
func keep[T any](c *collector, at place, list *[]T, name func(T) string, allowed func(T) bool) {
	var kept []T
	var old, left, refused []string
	for _, e := range *list {
		old = append(old, name(e))
		if allowed(e) {
			kept, left = append(kept, e), append(left, name(e))
			continue
		}
		refused = append(refused, fmt.Sprintf("%q", name(e)))
	}
	if len(refused) == 0 {
		return
	}
	edit := pod.Edit{Old: old}
	if len(left) > 0 {
		edit.New = left
	}
	add(c, at, list, Offence{Edit: edit, Fix: "remove " + strings.Join(refused, ", ")}, kept)
}

// annotations are candidates that take away what deprecated annotations say.
func (c *collector) annotations(prefix string) {
	all := c.workload.Template.Annotations
	path := c.workload.TemplatePath().Child("metadata").Child("annotations")
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		value := all[key]
		c.found = append(c.found, remedy{
			Offence: Offence{Edit: pod.Edit{Path: path.Key(key), Old: value}, Fix: "remove the annotation"},
			apply:   func() { delete(all, key) },
			revert:  func() { all[key] = value },
			judged:  c.workload.Spec,
		})
	}
}

// allowsAlone asks the check about a pod that has one container with nothing but
// the given settings.
func (c *collector) allowsAlone(podContext *corev1.PodSecurityContext, sc *corev1.SecurityContext) bool {
	return c.passes(&metav1.ObjectMeta{}, &corev1.PodSpec{
		SecurityContext: podContext,
		Containers:      []corev1.Container{{Name: "probe", SecurityContext: sc}},
	})
}

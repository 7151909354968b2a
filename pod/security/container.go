package security

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/pod"
)

// The checks that level restricted adds for fields that have to be set.
const (
	PrivilegeEscalation policy.CheckID = "allowPrivilegeEscalation"
	Capabilities        policy.CheckID = "capabilities_restricted"
	NonRoot             policy.CheckID = "runAsNonRoot"
	Seccomp             policy.CheckID = "seccompProfile_restricted"
)

// ContainerRemedy is the remedy for a field of a container's security context that
// a check requires to be set. The fixes of Offences and whoever hardens containers
// take the same.
type ContainerRemedy struct {
	Check policy.CheckID

	field []string // below securityContext
	value any      // as a patch writes it
	apply func(*corev1.SecurityContext)
}

// The values that level restricted requires
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
const (
	escalation = false
	nonRoot    = true
)

func dropAll() []corev1.Capability { return []corev1.Capability{"ALL"} }

func runtimeDefault() *corev1.SeccompProfile {
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
}

// containerRemedies is never changed.
var containerRemedies = []ContainerRemedy{
	{PrivilegeEscalation, []string{"allowPrivilegeEscalation"}, escalation, func(sc *corev1.SecurityContext) {
		sc.AllowPrivilegeEscalation = new(escalation)
	}},
	{Capabilities, []string{"capabilities", "drop"}, dropAll(), func(sc *corev1.SecurityContext) {
		if sc.Capabilities == nil {
			sc.Capabilities = &corev1.Capabilities{}
		}
		sc.Capabilities.Drop = dropAll()
	}},
	{NonRoot, []string{"runAsNonRoot"}, nonRoot, func(sc *corev1.SecurityContext) {
		sc.RunAsNonRoot = new(nonRoot)
	}},
	{Seccomp, []string{"seccompProfile"}, *runtimeDefault(), func(sc *corev1.SecurityContext) {
		sc.SeccompProfile = runtimeDefault()
	}},
}

// ForContainer is the remedy of a check, and whether there is one.
func ForContainer(check policy.CheckID) (ContainerRemedy, bool) {
	i := slices.IndexFunc(containerRemedies, func(r ContainerRemedy) bool { return r.Check == check })
	if i < 0 {
		return ContainerRemedy{}, false
	}
	return containerRemedies[i], true
}

// Apply sets the field of a container and returns the edit. The field is one that
// is not set.
func (r ContainerRemedy) Apply(c pod.Container) pod.Edit {
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	r.apply(c.SecurityContext)
	at := c.Path().Child("securityContext")
	for _, name := range r.field {
		at = at.Child(name)
	}
	return pod.Edit{Path: at, New: r.value}
}

package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// account is what the manifest and the image say together about the user that a
// container runs as, and about what the container may need of root's.
type account struct {
	// nonRoot: the user is a number above 0 on every platform, or a name for one.
	nonRoot bool
	// number: the kubelet can tell that.
	number bool
	// named is the number that the name stands for on every platform, else 0.
	named int64
	// user is the USER on the first platform.
	user string
	// uid is what the manifest says, 0 where the user is the image's.
	uid int64
	// lowPort: there is a port below 1024, which needs root, the capability
	// NET_BIND_SERVICE or a node that lets everybody have it.
	lowPort bool
	// sudo: a program that works by setuid is named in what the container runs.
	sudo bool
	// windows: the image, as far as it counts here, is for Windows.
	windows bool
	// elsewhere: the image has a Windows platform too, and nothing keeps the pod
	// from its nodes.
	elsewhere bool
	// unknown: there is a platform whose user is not known; err says why if it can.
	unknown bool
	err     error
}

// evidence names what it derives from that the user is not root.
func (a account) evidence(image string) string {
	if a.uid > 0 {
		return fmt.Sprintf("runAsUser %d", a.uid)
	}
	return fmt.Sprintf("USER %q of image %q", a.user, image)
}

// describe is what is known of a container's user. The manifest goes before the
// image; the ports of both count.
func describe(w *pod.Workload, c pod.Container, fact image.Fact) account {
	a := account{lowPort: slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort < 1024 })}
	platforms := fact.PlatformsFor(false)
	a.sudo = mentionsSudo(c) || startsSudo(c, platforms)
	a.windows = len(platforms) == 0 || slices.ContainsFunc(platforms, image.Platform.IsWindows)
	a.elsewhere = len(platforms) < len(fact.Platforms) && !forLinux(w)
	for _, p := range platforms {
		a.lowPort = a.lowPort || slices.ContainsFunc(p.ExposedPorts, func(p image.Port) bool { return p.Number < 1024 })
	}
	if uid := w.RunAsUser(c); uid != nil {
		a.nonRoot, a.number, a.elsewhere, a.uid = *uid > 0, *uid > 0, false, *uid
		return a
	}
	a.ofImage(platforms)
	return a
}

// ofImage takes in the USER of the image.
func (a *account) ofImage(platforms []image.Platform) {
	a.nonRoot, a.number = len(platforms) > 0, len(platforms) > 0
	for i, p := range platforms {
		a.number = a.number && p.UID > 0 && p.NumericUser()
		a.nonRoot = a.nonRoot && p.UID > 0
		if p.UID == image.UnknownUID {
			a.unknown, a.err = true, p.UIDErr
		}
		switch {
		case i == 0 && p.UID > 0 && !p.NumericUser():
			a.named = p.UID
		case p.UID != a.named || p.NumericUser():
			a.named = 0
		}
	}
	if len(platforms) > 0 {
		a.user = platforms[0].User
	}
}

// gainsPrivileges reports whether something says that the container's programs
// gain privileges when they start, by setuid or by capabilities of their files,
// which allowPrivilegeEscalation: false would take from them: it runs sudo or the
// like, or it has a low port and is not root. That it asks for a capability speaks
// for it too, see gapsOf: with another user than root it has it by its files alone,
// since Kubernetes gives no ambient ones (KEP-2763), and the API server refuses the
// two together where it is CAP_SYS_ADMIN.
func gainsPrivileges(a account) bool {
	return a.lowPort && (a.nonRoot || a.unknown) || a.sudo
}

// mentionsSudo reports whether a command of the container's names a program that
// works by setuid.
func mentionsSudo(c pod.Container) bool {
	if slices.ContainsFunc(c.Command, namesSudo) || slices.ContainsFunc(c.Args, namesSudo) {
		return true
	}
	ofProbe := func(p *corev1.Probe) bool { return p != nil && execsSudo(p.Exec) }
	ofHook := func(h *corev1.LifecycleHandler) bool { return h != nil && execsSudo(h.Exec) }
	return ofProbe(c.LivenessProbe) || ofProbe(c.ReadinessProbe) || ofProbe(c.StartupProbe) ||
		c.Lifecycle != nil && (ofHook(c.Lifecycle.PostStart) || ofHook(c.Lifecycle.PreStop))
}

// startsSudo reports whether the image starts such a program, as far as the
// container leaves it to the image: command replaces ENTRYPOINT and CMD, args the
// CMD alone
// (https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/).
func startsSudo(c pod.Container, platforms []image.Platform) bool {
	if len(c.Command) > 0 {
		return false
	}
	for i := range platforms {
		p := &platforms[i]
		if slices.ContainsFunc(p.Entrypoint, namesSudo) || len(c.Args) == 0 && slices.ContainsFunc(p.Cmd, namesSudo) {
			return true
		}
	}
	return false
}

func execsSudo(e *corev1.ExecAction) bool {
	return e != nil && slices.ContainsFunc(e.Command, namesSudo)
}

func namesSudo(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		switch word {
		case "sudo", "doas", "su", "pkexec", "newuidmap", "newgidmap", "fixuid":
			return true
		}
	}
	return false
}

// canDropAll reports whether drop is not set, and whether what is added is what
// level restricted allows: with another capability the container cannot become
// restricted, and what its files need beside that one is not known.
func canDropAll(caps *corev1.Capabilities) bool {
	return caps == nil || len(caps.Drop) == 0 &&
		!slices.ContainsFunc(caps.Add, func(c corev1.Capability) bool { return c != "NET_BIND_SERVICE" })
}

func addsAny(caps *corev1.Capabilities) bool { return caps != nil && len(caps.Add) > 0 }

func capabilitiesOf(c pod.Container) *corev1.Capabilities {
	if c.SecurityContext == nil {
		return nil
	}
	return c.SecurityContext.Capabilities
}

// hasSeccomp reports whether the pod has a profile that counts for the container, as
// a field or as one of the annotations that came before it.
func hasSeccomp(w *pod.Workload, container string) bool {
	if w.Spec.SecurityContext != nil && w.Spec.SecurityContext.SeccompProfile != nil {
		return true
	}
	if w.Template == nil || len(w.Template.Annotations) == 0 {
		return false
	}
	_, ofPod := w.Template.Annotations[corev1.SeccompPodAnnotationKey]
	_, ofContainer := w.Template.Annotations[corev1.SeccompContainerAnnotationKeyPrefix+container]
	return ofPod || ofContainer
}

// tokenPath is where the API server mounts the token of a service account.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// hasToken reports whether a container has the token already: the API server gives
// it to a Pod before it asks any webhook, and does not take it back.
func hasToken(w *pod.Workload) bool {
	for c := range w.Containers() {
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenPath }) {
			return true
		}
	}
	return false
}

// forWindows reports whether the manifest says that the pod is for Windows, where
// the API server forbids most fields, or the kubelet ignores them.
func forWindows(w *pod.Workload) bool {
	if w.IsWindows() || w.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows) {
		return true
	}
	if sc := w.Spec.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		return true
	}
	for c := range w.Containers() {
		if c.SecurityContext != nil && c.SecurityContext.WindowsOptions != nil {
			return true
		}
	}
	return false
}

func forLinux(w *pod.Workload) bool {
	return w.Spec.OS != nil && w.Spec.OS.Name == corev1.Linux || w.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Linux)
}

func isTrue(b *bool) bool { return b != nil && *b }

package validate

import (
	"errors"
	"fmt"

	"k8s.io/pod-security-admission/api"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// RootUserRule is the key of the section that this file judges.
const RootUserRule = "rootUser"

// The checks of RootUserRule. They are told apart so that an update from one to
// another is not taken for what was there before.
const (
	runsAsRoot  = "root"
	neverStarts = "neverStarts"
	userUnknown = "unknown"
)

// RootUser finds the containers that run as root, and those that cannot start
// because the kubelet refuses their user.
//
// A container runs as the first of: its securityContext.runAsUser, the pod's,
// the USER of its image. The image's counts on every platform that it is made
// for, since any node may run it, and a name counts as what /etc/passwd of the
// image says. runAsNonRoot changes nothing about the user: it makes the kubelet
// refuse root, and refuse a name, whose number it does not know
// (verifyRunAsNonRoot in k8s.io/kubernetes/pkg/kubelet/kuberuntime).
//
// Root inside a user namespace (hostUsers: false) is let pass from Pod Security
// v1.35 on, as upstream does (KEP-127). A platform of Windows has no root; a pod
// for Windows is still judged by an image that has Linux alone.
func RootUser(w *pod.Workload, s *policies.CompiledRootUser, facts image.Facts) []pod.Finding {
	if rootAllowed(w, s.Version) {
		return nil
	}
	var findings []pod.Finding
	for c := range w.Containers() {
		if f := rootUser(w, c, facts); f != nil {
			findings = append(findings, *f)
		}
	}
	return findings
}

// RootUserNeeds are the images whose USER decides.
func RootUserNeeds(w *pod.Workload, s *policies.CompiledRootUser) []image.Need {
	if rootAllowed(w, s.Version) {
		return nil
	}
	var needs []image.Need
	for c := range w.Containers() {
		if w.RunAsUser(c) == nil && c.Image != "" {
			needs = append(needs, image.Need{Image: c.Image, Config: true, UID: true})
		}
	}
	return needs
}

// rootAllowed is upstream's relaxPolicyForUserNamespacePod, which its checks
// runAsNonRoot and runAsUser ask from v1.35 on.
func rootAllowed(w *pod.Workload, version api.Version) bool {
	return w.Spec == nil || w.Spec.HostUsers != nil && !*w.Spec.HostUsers && !version.Older(api.MajorMinorVersion(1, 35))
}

func rootUser(w *pod.Workload, c pod.Container, facts image.Facts) *pod.Finding {
	uid := w.RunAsUser(c)
	f := &pod.Finding{Rule: RootUserRule, Check: runsAsRoot, Container: c.Name, Path: w.RunAsUserPath(c), Fix: "set it to a user id above 0"}
	switch {
	case uid != nil && *uid > 0:
		return nil
	case uid != nil:
		f.Value, f.Message = *uid, "the container runs as root"
		return f
	case c.Image == "":
		return nil // somebody else fills it in, and is judged then
	}
	fact, known := facts[c.Image]
	if !known || fact.Err != nil || len(fact.Platforms) == 0 {
		return unknownUser(f, fact.Err)
	}
	nonRoot := w.RunAsNonRoot(c)
	for _, p := range fact.PlatformsFor(w.IsWindows()) {
		if userOf(f, p, nonRoot != nil && *nonRoot) {
			return f
		}
	}
	return nil
}

// userOf judges the USER of an image on one platform and completes the finding
// if there is one.
func userOf(f *pod.Finding, p image.Platform, nonRoot bool) bool {
	user := fmt.Sprintf("USER %q on %s", p.User, p)
	if p.User == "" {
		user = "no USER on " + p.String()
	}
	const repair = "set it to a user id above 0 that the image can run as, or give the image a USER with such a number"
	var why *image.Error
	switch {
	case p.UID == 0 && nonRoot:
		f.Check = neverStarts
		f.Message, f.Fix = fmt.Sprintf("the container would never start: runAsNonRoot is true and its image has %s, which is root", user), repair
	case p.UID == 0:
		f.Message, f.Fix = fmt.Sprintf("the container runs as root, because its image has %s", user), repair
	case p.UID > 0 && nonRoot && !p.NumericUser():
		f.Check = neverStarts
		f.Message = fmt.Sprintf("the container would never start: runAsNonRoot is true and the kubelet cannot tell that its image's %s is not root", user)
		f.Fix = fmt.Sprintf("set it to %d, which is what the image's /etc/passwd says", p.UID)
	case p.UID > 0:
		return false
	case errors.As(p.UIDErr, &why):
		f.Check, f.Unknown = userUnknown, true
		f.Message, f.Fix = fmt.Sprintf("it is not known whether the container runs as root: its image has %s: %s", user, why), repair
		f.NoAnswer = why.Reason.NoAnswer()
	default:
		f.Check, f.Unknown = userUnknown, true
		f.Message, f.Fix = fmt.Sprintf("it is not known whether the container runs as root: its image has %s", user), repair
	}
	return true
}

func unknownUser(f *pod.Finding, err error) *pod.Finding {
	f.Check, f.Unknown = userUnknown, true
	f.Message, f.NoAnswer = "it is not known whether the container runs as root, and no registry was asked", true
	var why *image.Error
	if errors.As(err, &why) {
		f.Message = fmt.Sprintf("it is not known whether the container runs as root: %s", why)
		f.NoAnswer = why.Reason.NoAnswer()
	}
	f.Fix = "set it to a user id above 0 that the image can run as"
	return f
}

package mutate

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/security"
	"github.com/portcullis-dev/portcullis/policies"
)

// HardeningRule is the key of the section that this file carries out.
const HardeningRule = "hardening"

// Harden sets the fields that Pod Security level restricted requires, where they
// are not set and where what the manifest and the image say makes that safe:
//
//   - runAsUser, where the USER of the image is a name: the number that its
//     /etc/passwd gives for it, which must be one above 0 and the same on every
//     platform. It is who runs there anyway: the kubelet gives the runtime the name,
//     and the runtime looks it up in the same file.
//   - runAsNonRoot, where runAsUser, or the USER on every platform, is a number above
//     0. The kubelet refuses to start root, and names.
//   - capabilities.drop, where the user is not root on any platform: it has none of
//     them in its hands, while root works by them.
//   - allowPrivilegeEscalation, unless something says that the container gains
//     privileges: see gainsPrivileges.
//   - seccompProfile, unless the container is privileged, and then has none.
//   - readOnlyRootFilesystem and automountServiceAccountToken, if the policy asks.
//
// All of them but the last are set at the container and not at the pod: an
// ephemeral container of kubectl debug takes what the pod has, and a debugger that
// needs root, as most images of tools do, would not start any more.
//
// A privileged container, one with an unmasked /proc and a pod for Windows cannot
// become restricted by this, and are left as they are.
//
// There is a finding for each container of which an image would have said more.
func Harden(r *Recorder, w *pod.Workload, s *policies.CompiledHardening, facts image.Facts) []pod.Finding {
	if w.Spec == nil {
		return nil
	}
	var findings []pod.Finding
	if !forWindows(w) {
		for c := range w.Containers() {
			h := hardener{Recorder: r, workload: w, container: c, gaps: gapsOf(w, c, s)}
			if h.gaps == (gaps{}) {
				continue
			}
			if f := h.harden(facts); f != nil {
				findings = append(findings, *f)
			}
		}
	}
	if s.Sets(policies.HardenToken) && w.Spec.AutomountServiceAccountToken == nil && !hasToken(w) {
		Set(r, &w.Spec.AutomountServiceAccountToken, w.SpecPath().Child("automountServiceAccountToken"), new(false),
			Reason{Rule: HardeningRule, Evidence: asked})
	}
	return findings
}

// HardeningNeeds are the image facts that Harden will ask for.
func HardeningNeeds(w *pod.Workload, s *policies.CompiledHardening) []image.Need {
	if w.Spec == nil || forWindows(w) {
		return nil
	}
	var needs []image.Need
	for c := range w.Containers() {
		if gapsOf(w, c, s).image && c.Image != "" {
			needs = append(needs, image.Need{Image: c.Image, Config: true, UID: w.RunAsUser(c) == nil})
		}
	}
	return needs
}

// What edits derive from that nothing but the policy asks for.
const (
	required = "Pod Security level restricted, which requires it"
	asked    = "the policy, which asks for it"
)

// gaps are the fields of a container that the policy has set, that are not set and
// that the manifest does not speak against.
type gaps struct {
	user, nonRoot, capabilities, escalation, seccomp, rootFilesystem bool
	// image: the image has a say in one of them.
	image bool
}

func gapsOf(w *pod.Workload, c pod.Container, s *policies.CompiledHardening) gaps {
	sc := c.SecurityContext
	if sc == nil {
		sc = &corev1.SecurityContext{}
	}
	if c.Type == pod.Ephemeral || isTrue(sc.Privileged) || sc.ProcMount != nil && *sc.ProcMount == corev1.UnmaskedProcMount {
		return gaps{}
	}
	uid := w.RunAsUser(c)
	root := uid != nil && *uid == 0
	g := gaps{
		user:           uid == nil && s.Sets(policies.HardenUser),
		nonRoot:        !root && w.RunAsNonRoot(c) == nil && s.Sets(policies.HardenNonRoot),
		capabilities:   !root && canDropAll(sc.Capabilities) && s.Sets(policies.HardenCapabilities),
		escalation:     sc.AllowPrivilegeEscalation == nil && !addsAny(sc.Capabilities) && s.Sets(policies.HardenPrivilegeEscalation),
		seccomp:        sc.SeccompProfile == nil && !hasSeccomp(w, c.Name) && s.Sets(policies.HardenSeccomp),
		rootFilesystem: sc.ReadOnlyRootFilesystem == nil && s.Sets(policies.HardenRootFilesystem),
	}
	g.image = !root && (g.capabilities || g.escalation) || uid == nil && (g.user || g.nonRoot)
	return g
}

// hardener works on one container.
type hardener struct {
	*Recorder
	workload  *pod.Workload
	container pod.Container
	gaps      gaps
}

func (h *hardener) harden(facts image.Facts) *pod.Finding {
	c := h.container
	fact, known := facts[c.Image]
	known = known && fact.Err == nil && len(fact.Platforms) > 0
	says := describe(h.workload, c, fact)
	if known && says.windows {
		return nil // a pod for Windows after all
	}
	h.setUser(&says)
	if h.gaps.nonRoot && says.number && !says.elsewhere {
		h.remedy(security.NonRoot, says.evidence(c.Image))
	}
	if h.gaps.escalation && (known || !h.gaps.image) && !gainsPrivileges(says) {
		h.remedy(security.PrivilegeEscalation, required)
	}
	if h.gaps.capabilities && known && says.nonRoot && (!says.lowPort || addsAny(capabilitiesOf(c))) && !says.sudo {
		h.remedy(security.Capabilities, says.evidence(c.Image))
	}
	if h.gaps.seccomp {
		h.remedy(security.Seccomp, required)
	}
	if h.gaps.rootFilesystem {
		Set(h.Recorder, &h.context().ReadOnlyRootFilesystem, h.path("readOnlyRootFilesystem"), new(true), h.reason(asked))
	}
	return h.unknown(fact, known, says)
}

// setUser writes the number of a user whom the image names.
func (h *hardener) setUser(says *account) {
	if !h.gaps.user || says.named == 0 || says.elsewhere {
		return
	}
	evidence := fmt.Sprintf("/etc/passwd of image %q, whose USER is %q", h.container.Image, says.user)
	Set(h.Recorder, &h.context().RunAsUser, h.path("runAsUser"), new(says.named), h.reason(evidence))
	says.number, says.uid = true, says.named
}

// context is the container's security context, which is made where there is none.
func (h *hardener) context() *corev1.SecurityContext {
	if h.container.SecurityContext == nil {
		h.container.SecurityContext = &corev1.SecurityContext{}
	}
	return h.container.SecurityContext
}

func (h *hardener) path(field string) pod.Path {
	return h.container.Path().Child("securityContext").Child(field)
}

func (h *hardener) reason(evidence string) Reason {
	return Reason{Rule: HardeningRule, Container: h.container.Name, Evidence: evidence}
}

// remedy makes the edit that the fix of a podSecurity finding would be.
func (h *hardener) remedy(check policy.CheckID, evidence string) {
	if remedy, ok := security.ForContainer(check); ok {
		h.record(remedy.Apply(h.container), h.reason(evidence))
	}
}

// unknown is the finding about a container of which the image would have said
// more, nil where it has said all or was not asked.
func (h *hardener) unknown(fact image.Fact, known bool, says account) *pod.Finding {
	if !h.gaps.image || h.container.Image == "" || known && says.err == nil && !says.unknown {
		return nil
	}
	f := &pod.Finding{
		Rule: HardeningRule, Container: h.container.Name, Path: h.path("runAsNonRoot"),
		Message: "it is not known what can be hardened safely, and no registry was asked",
		Fix:     "set runAsUser to a user id above 0 that the image can run as, and the fields that Pod Security level restricted requires",
		// A mutator that does less leaves the rest to the checks.
		Advisory: true, NoAnswer: true,
	}
	var why *image.Error
	if err := errors.Join(fact.Err, says.err); errors.As(err, &why) {
		f.Message, f.NoAnswer = fmt.Sprintf("it is not known what can be hardened safely: %s", why), why.Reason.NoAnswer()
	}
	return f
}

package mutate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// ProbesRule is the key of the section that this file carries out.
const ProbesRule = "probes"

// The checks of findings about probes.
const (
	probeAnnotationInvalid = "annotation"
	probeAnnotationUnused  = "unusedAnnotation"
	probeUnknown           = "unknown"
	probeNotDerived        = "healthcheck"
)

// Probes gives long-running containers the probes that they lack, as far as
// something speaks for them:
//
//   - the annotation of the pod template for that probe and container, see
//     ProbeAnnotations; then, the first that knows the container gives all,
//   - the catalog, by the image,
//   - the HEALTHCHECK of the image; HEALTHCHECK NONE says that there is to be none.
//     It is about what the image starts of itself, and says nothing about a container
//     with a command or args of its own,
//   - a port of the container with a name such as http,
//   - the only TCP port of the container.
//
// Where a source cannot be asked, those after it are not asked either: else the
// pod template would be another one once the registry is back.
//
// A readiness probe that is wrong keeps traffic away; a liveness or startup probe
// that is wrong kills. So those two come only from the sources that the policy
// names for them, and a liveness probe never without a startup probe. Who wrote a
// liveness probe has decided about restarts, and gets no startup probe by any of
// the sources but the annotation.
//
// A probe that is there stays as it is. Containers of Jobs, init containers and
// ephemeral containers get none, and sidecars only by annotation or catalog: what
// one listens on is for its pod. No probe has a host.
func Probes(r *Recorder, w *pod.Workload, s *policies.CompiledProbes, facts image.Facts) []pod.Finding {
	notes, findings := readProbeNotes(w, s)
	for c := range w.Containers() {
		if !c.Stays() {
			continue
		}
		p := prober{Recorder: r, workload: w, settings: s, container: c, notes: notes}
		if f := p.equip(facts); f != nil {
			findings = append(findings, *f)
		}
	}
	return findings
}

// ProbeNeeds are the images whose HEALTHCHECK Probes will ask for.
func ProbeNeeds(w *pod.Workload, s *policies.CompiledProbes) []image.Need {
	var needs []image.Need
	notes, _ := readProbeNotes(w, s)
	for c := range w.Containers() {
		p := prober{workload: w, settings: s, container: c, notes: notes}
		if c.LongRunning() && c.Image != "" && p.asksImage() {
			needs = append(needs, image.Need{Image: c.Image, Config: true})
		}
	}
	return needs
}

// prober is Probes at work on one container.
type prober struct {
	*Recorder
	workload  *pod.Workload
	settings  *policies.CompiledProbes
	container pod.Container
	notes     []probeNote
}

// proposal are probes by one source.
type proposal struct {
	policies.ProbeSet
	evidence string
}

// equip gives the container its probes. There is a finding if a source could not
// be asked.
func (p prober) equip(facts image.Facts) *pod.Finding {
	liveness := p.container.LivenessProbe
	wants := p.wants() // an annotation that cannot be read wants no other source instead
	p.annotated()
	var finding *pod.Finding
	if wants.any() {
		var found proposal
		if found, finding = p.derive(wants, facts); wants.readiness {
			p.give(policies.Readiness, found.Readiness, found.evidence)
		}
		if wants.restarts {
			p.give(policies.Liveness, found.Liveness, found.evidence)
			p.give(policies.Startup, found.Startup, found.evidence)
		}
	}
	if added := p.container.LivenessProbe; added != nil && liveness == nil {
		p.give(policies.Startup, startupFor(added), "its liveness probe")
	}
	return finding
}

// give sets a probe that is not set. What is given stays the giver's.
func (p prober) give(kind policies.ProbeKind, probe *corev1.Probe, evidence string) {
	field := p.field(kind)
	if probe == nil || *field != nil {
		return
	}
	Set(p.Recorder, field, p.container.Path().Child(kind.Field()), probe.DeepCopy(),
		Reason{Rule: ProbesRule, Container: p.container.Name, Evidence: evidence})
}

func (p prober) field(kind policies.ProbeKind) **corev1.Probe {
	switch kind {
	case policies.Liveness:
		return &p.container.LivenessProbe
	case policies.Startup:
		return &p.container.StartupProbe
	default:
		return &p.container.ReadinessProbe
	}
}

// wanted is what a container lacks that a source other than the annotation may
// give it.
type wanted struct{ readiness, restarts bool }

func (w wanted) any() bool { return w.readiness || w.restarts }

func (p prober) wants() wanted {
	s := p.settings
	restarts := s.MayRestart(policies.ProbeFromCatalog) && s.Catalog.Restarts() || s.MayRestart(policies.ProbeFromHealthcheck)
	return wanted{
		readiness: p.container.ReadinessProbe == nil && !p.noted(policies.Readiness),
		restarts:  p.container.LivenessProbe == nil && !p.noted(policies.Liveness) && restarts,
	}
}

// derive asks the sources for what the container is, one after the other.
func (p prober) derive(wants wanted, facts image.Facts) (proposal, *pod.Finding) {
	if found, ok := p.fromCatalog(facts[p.container.Image]); ok {
		return found, nil
	}
	if !p.container.LongRunning() {
		return proposal{}, nil
	}
	if p.wantsHealthcheck(wants) {
		if found, decided, finding := p.fromHealthcheck(facts); decided {
			return found, finding
		}
	}
	if !wants.readiness {
		return proposal{}, nil
	}
	if found := p.fromPorts(); found.Readiness != nil {
		return found, nil
	}
	return proposal{}, p.overridden(facts)
}

// fromCatalog reports whether the catalog knows the image, whose reference a fact
// about it has read already. A startup probe comes under the same condition as a
// liveness probe.
func (p prober) fromCatalog(fact image.Fact) (found proposal, ok bool) {
	if !p.settings.Uses(policies.ProbeFromCatalog) || p.container.Image == "" || !p.settings.Catalog.MayKnow(p.container.Container) {
		return found, false
	}
	ref := fact.Reference
	if ref == (image.Reference{}) {
		var err error
		if ref, err = image.ParseReference(p.container.Image); err != nil {
			return found, false
		}
	}
	set, evidence, ok := p.settings.Catalog.Find(ref.Name(), p.container.Container)
	if !p.settings.MayRestart(policies.ProbeFromCatalog) {
		set.Liveness, set.Startup = nil, nil
	}
	return proposal{set, evidence}, ok
}

// wantsHealthcheck reports whether the HEALTHCHECK of an image could give what the
// container lacks.
func (p prober) wantsHealthcheck(wants wanted) bool {
	return p.settings.Uses(policies.ProbeFromHealthcheck) && p.container.Image != "" && p.overrides() == "" &&
		(wants.readiness || wants.restarts && p.settings.MayRestart(policies.ProbeFromHealthcheck))
}

// asksImage reports whether the HEALTHCHECK decides, because nothing before it does.
// Nobody is asked only to explain why there is no probe.
func (p prober) asksImage() bool {
	wants := p.wants()
	if !wants.any() || !p.wantsHealthcheck(wants) {
		return false
	}
	_, known := p.fromCatalog(image.Fact{})
	return !known
}

// The timing of probes whose source says nothing about it, in seconds.
const (
	readinessPeriod  = 5
	readinessTimeout = 3
	livenessPeriod   = 10
	livenessTimeout  = 5
	// livenessFailures are patient: a container is to be out of its Services long
	// before it is restarted.
	livenessFailures = 6
	// startupFailures are ten minutes. A container that starts faster does not wait
	// for them; one that is killed while it starts never gets to the end of it.
	startupFailures = 60
)

// timed gives a probe the timing of its kind.
func timed(kind policies.ProbeKind, handler corev1.ProbeHandler) *corev1.Probe {
	probe := &corev1.Probe{
		ProbeHandler: handler, PeriodSeconds: livenessPeriod, TimeoutSeconds: livenessTimeout, FailureThreshold: livenessFailures,
	}
	switch kind {
	case policies.Readiness:
		probe.PeriodSeconds, probe.TimeoutSeconds, probe.FailureThreshold = readinessPeriod, readinessTimeout, policies.DefaultProbeFailureThreshold
	case policies.Startup:
		probe.FailureThreshold = startupFailures
	}
	return probe
}

// startupFor is the startup probe for a liveness probe that comes without one.
func startupFor(liveness *corev1.Probe) *corev1.Probe {
	startup := timed(policies.Startup, liveness.ProbeHandler)
	startup.TimeoutSeconds = max(startup.TimeoutSeconds, liveness.TimeoutSeconds)
	startup.PeriodSeconds = max(startup.PeriodSeconds, startup.TimeoutSeconds)
	return startup
}

// undecided is the finding about a container for which the image's HEALTHCHECK
// would have decided. It never denies: who injects less leaves the rest to the
// checks.
func (p prober) undecided(check, format string, args ...any) *pod.Finding {
	return &pod.Finding{
		Rule: ProbesRule, Check: check, Container: p.container.Name, Path: p.container.Path().Child(policies.Readiness.Field()),
		Message: fmt.Sprintf(format, args...), Fix: "write the probe into the manifest", Advisory: true,
	}
}

package validate

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// ProbesRule is the key of the section that this file judges.
const ProbesRule = "probes"

// The checks of ProbesRule.
const (
	probeMissing           = "missing"
	probesIdentical        = "identical"
	probeTimeout           = "timeout"
	livenessWithoutStartup = "livenessWithoutStartup"
)

// Probes finds the long-running containers that lack a probe which the policy
// requires. Containers of Jobs, init containers and sidecars need none: see
// pod.Container.LongRunning.
//
// It warns of probes that work against who wrote them: a liveness probe that asks
// what the readiness probe asks and gives up no later, so that a container which is
// too busy is restarted instead of relieved
// (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/);
// a timeout that is longer than the period, which stretches it; a liveness probe
// without a startup probe, which never lets a slow container start. None of these
// is refused: there are cases for each.
func Probes(w *pod.Workload, s *policies.CompiledProbeRequirement) []pod.Finding {
	var findings []pod.Finding
	for c := range w.Containers() {
		if c.LongRunning() {
			for _, kind := range s.Require {
				if probeOf(c, kind) == nil {
					findings = append(findings, missingProbe(c, kind))
				}
			}
		}
		findings = append(findings, contradictions(c)...)
	}
	return findings
}

func probeOf(c pod.Container, kind policies.ProbeKind) *corev1.Probe {
	set := policies.ProbeSet{Readiness: c.ReadinessProbe, Liveness: c.LivenessProbe, Startup: c.StartupProbe}
	return set.Of(kind)
}

func missingProbe(c pod.Container, kind policies.ProbeKind) pod.Finding {
	fix := "add one that asks the container itself, such as {exec: {command: [PROGRAM]}}"
	if i := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return pod.IsTCP(&p) }); i >= 0 {
		fix = fmt.Sprintf("add one that asks the container itself, such as {httpGet: {port: %d, path: /healthz}} or {tcpSocket: {port: %[1]d}}", c.Ports[i].ContainerPort)
	}
	return pod.Finding{
		Rule: ProbesRule, Check: probeMissing, Container: c.Name, Path: c.Path().Child(kind.Field()),
		Message: fmt.Sprintf("the policy requires a %s probe of every long-running container", kind), Fix: fix,
	}
}

func contradictions(c pod.Container) []pod.Finding {
	var findings []pod.Finding
	warn := func(check string, at pod.Path, value any, message, fix string) {
		findings = append(findings, pod.Finding{
			Rule: ProbesRule, Check: check, Container: c.Name, Path: at, Value: value, Message: message, Fix: fix, Advisory: true,
		})
	}
	for _, kind := range policies.ProbeKinds() {
		if p := probeOf(c, kind); p != nil && p.TimeoutSeconds > period(p) {
			warn(probeTimeout, c.Path().Child(kind.Field()).Child("timeoutSeconds"), p.TimeoutSeconds,
				fmt.Sprintf("an answer is waited for longer than periodSeconds, which is %d", period(p)),
				fmt.Sprintf("set it to at most %d, or periodSeconds to at least %d", period(p), p.TimeoutSeconds))
		}
	}
	liveness := c.LivenessProbe
	if liveness == nil {
		return findings
	}
	if ready := c.ReadinessProbe; ready != nil && patience(liveness) <= patience(ready) && sameQuestion(liveness, ready) {
		enough := 2 * (patience(ready) + int64(period(liveness)) - 1) / int64(period(liveness))
		warn(probesIdentical, c.Path().Child("livenessProbe").Child("failureThreshold"), failures(liveness),
			fmt.Sprintf("livenessProbe asks what readinessProbe asks and gives up no later, after %d s: a container that is too busy is restarted instead of relieved", patience(liveness)),
			fmt.Sprintf("set it to %d or more, or have livenessProbe ask for less", enough))
	}
	if c.StartupProbe == nil {
		warn(livenessWithoutStartup, c.Path().Child("startupProbe"), nil,
			fmt.Sprintf("livenessProbe restarts a container that takes longer than %d s to start, again and again", int64(liveness.InitialDelaySeconds)+patience(liveness)),
			"add one that asks the same, with a failureThreshold that is enough for a slow start")
	}
	return findings
}

// patience is how long a probe fails until it counts, in seconds.
func patience(p *corev1.Probe) int64 { return int64(period(p)) * int64(failures(p)) }

func period(p *corev1.Probe) int32 { return cmp.Or(p.PeriodSeconds, policies.DefaultProbePeriod) }

func failures(p *corev1.Probe) int32 {
	return cmp.Or(p.FailureThreshold, policies.DefaultProbeFailureThreshold)
}

// sameQuestion reports whether two probes ask the same, with what the API server
// fills in: it has done so in the webhook, and not in a file.
func sameQuestion(a, b *corev1.Probe) bool {
	return equality.Semantic.DeepEqual(defaulted(a.ProbeHandler), defaulted(b.ProbeHandler))
}

func defaulted(h corev1.ProbeHandler) corev1.ProbeHandler {
	if h.HTTPGet != nil {
		get := *h.HTTPGet
		get.Path, get.Scheme = cmp.Or(get.Path, "/"), cmp.Or(get.Scheme, corev1.URISchemeHTTP)
		h.HTTPGet = &get
	}
	if h.GRPC != nil && h.GRPC.Service != nil && *h.GRPC.Service == "" {
		h.GRPC = &corev1.GRPCAction{Port: h.GRPC.Port}
	}
	return h
}

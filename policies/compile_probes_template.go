package policies

import (
	"cmp"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What Kubernetes takes for what a probe leaves out (SetDefaults_Probe in k8s.io/kubernetes/pkg/apis/core/v1).
const (
	DefaultProbePeriod           = 10 // seconds
	DefaultProbeTimeout          = 1  // seconds
	DefaultProbeFailureThreshold = 3
)

// Limits of a probe. Kubernetes has none of its own above 0.
const (
	longestProbeSeconds = 3600
	mostProbeSuccesses  = 1000
	mostProbeFailures   = 10000
	mostProbeWords      = 64
	longestProbeWord    = 4096
	longestProbePath    = 1024
	longestProbeService = 253
	highestPort         = 65535
)

var (
	probePathForm    = regexp.MustCompile(`^/[!-~]*$`)
	probeServiceForm = regexp.MustCompile(`^[!-~]*$`)
)

// probe is the probe of a template, or nil for none.
func (b *builder) probe(path *field.Path, kind ProbeKind, t *ProbeTemplate) *corev1.Probe {
	if t == nil {
		return nil
	}
	path = path.Child(string(kind))
	b.atMostOf(path.Child("initialDelaySeconds"), t.InitialDelaySeconds, longestProbeSeconds)
	b.atMostOf(path.Child("periodSeconds"), t.PeriodSeconds, longestProbeSeconds)
	b.atMostOf(path.Child("timeoutSeconds"), t.TimeoutSeconds, longestProbeSeconds)
	b.atMostOf(path.Child("successThreshold"), t.SuccessThreshold, mostProbeSuccesses)
	b.atMostOf(path.Child("failureThreshold"), t.FailureThreshold, mostProbeFailures)
	if kind != Readiness && t.SuccessThreshold > 1 {
		b.refuse(path.Child("successThreshold"), "%d is more than 1, and a %s probe succeeds at once; leave it out", t.SuccessThreshold, kind)
	}
	timeout, period := cmp.Or(t.TimeoutSeconds, DefaultProbeTimeout), cmp.Or(t.PeriodSeconds, DefaultProbePeriod)
	if timeout > period {
		b.refuse(path.Child("timeoutSeconds"), "%d is longer than periodSeconds, which is %d; set it to at most that", timeout, period)
	}
	return &corev1.Probe{
		ProbeHandler: b.probeHandler(path, t), InitialDelaySeconds: t.InitialDelaySeconds, PeriodSeconds: t.PeriodSeconds,
		TimeoutSeconds: t.TimeoutSeconds, SuccessThreshold: t.SuccessThreshold, FailureThreshold: t.FailureThreshold,
	}
}

func (b *builder) probeHandler(path *field.Path, t *ProbeTemplate) (handler corev1.ProbeHandler) {
	count := 0
	if t.Exec != nil {
		count++
		b.probeCommand(path.Child("exec", "command"), t.Exec.Command)
		handler.Exec = &corev1.ExecAction{Command: t.Exec.Command}
	}
	if h := t.HTTPGet; h != nil {
		count++
		at := path.Child("httpGet")
		b.port(at.Child("port"), h.Port)
		b.text(at.Child("path"), cmp.Or(h.Path, "/"), longestProbePath, probePathForm, "a path; begin with / and use no blanks")
		scheme := oneOf(b, at.Child("scheme"), cmp.Or(h.Scheme, ProbeHTTP), "a scheme", ProbeSchemes())
		handler.HTTPGet = &corev1.HTTPGetAction{Path: cmp.Or(h.Path, "/"), Port: intstr.FromInt32(h.Port), Scheme: corev1.URIScheme(scheme)}
	}
	if t.TCPSocket != nil {
		count++
		b.port(path.Child("tcpSocket", "port"), t.TCPSocket.Port)
		handler.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(t.TCPSocket.Port)}
	}
	if g := t.GRPC; g != nil {
		count++
		at := path.Child("grpc")
		b.port(at.Child("port"), g.Port)
		b.text(at.Child("service"), g.Service, longestProbeService, probeServiceForm, "the name of a service; use no blanks")
		handler.GRPC = &corev1.GRPCAction{Port: g.Port, Service: &g.Service}
	}
	if count != 1 {
		b.refuse(path, "has %d of exec, httpGet, tcpSocket and grpc; it has to have exactly one", count)
	}
	return handler
}

func (b *builder) probeCommand(path *field.Path, command []string) {
	if len(command) == 0 {
		b.refuse(path, "is empty; write the program and its arguments")
		return
	}
	if !b.atMost(path, len(command), mostProbeWords) {
		return
	}
	if command[0] == "" {
		b.refuse(path, "begins with an empty string; write the program first")
	}
	for i, word := range command {
		if len(word) > longestProbeWord {
			b.refuse(path.Index(i), "%s is longer than %d bytes; put a script into the image", quote(word), longestProbeWord)
		}
	}
}

func (b *builder) atMostOf(path *field.Path, value, most int32) {
	if value < 0 || value > most {
		b.refuse(path, "%d is out of range; use 0 to %d, 0 for Kubernetes' default", value, most)
	}
}

func (b *builder) port(path *field.Path, port int32) {
	if port < 1 || port > highestPort {
		b.refuse(path, "%d is not a port; use 1 to 65535", port)
	}
}

func (b *builder) text(path *field.Path, value string, longest int, form *regexp.Regexp, noun string) {
	if len(value) > longest || !form.MatchString(value) {
		b.refuse(path, "%s is not %s, at most %d characters", quote(value), noun, longest)
	}
}

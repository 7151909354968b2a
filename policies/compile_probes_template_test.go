package policies

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestProbeTemplates holds what becomes of each field.
func TestProbeTemplates(t *testing.T) {
	service, none := "shop.v1.Cart", ""
	for template, want := range map[string]corev1.Probe{
		`exec: {command: [a, ""]}, initialDelaySeconds: 1, periodSeconds: 7, timeoutSeconds: 2, successThreshold: 3, failureThreshold: 4`: {
			ProbeHandler:        corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"a", ""}}},
			InitialDelaySeconds: 1, PeriodSeconds: 7, TimeoutSeconds: 2, SuccessThreshold: 3, FailureThreshold: 4,
		},
		`httpGet: {port: 80}`: {ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80), Scheme: corev1.URISchemeHTTP},
		}},
		`httpGet: {port: 65535, path: "/a?b=c", scheme: HTTPS}`: {ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/a?b=c", Port: intstr.FromInt32(65535), Scheme: corev1.URISchemeHTTPS},
		}},
		`tcpSocket: {port: 1}`: {ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}},
		`grpc: {port: 9}`:      {ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9, Service: &none}}},
		`grpc: {port: 9, service: shop.v1.Cart}`: {ProbeHandler: corev1.ProbeHandler{
			GRPC: &corev1.GRPCAction{Port: 9, Service: &service},
		}},
	} {
		set, _, found := probesOf(t, `catalog: [{images: [a.io/b], readiness: {`+template+`}}]`).Catalog.Find("a.io/b", &corev1.Container{})
		if diff := cmp.Diff(&want, set.Readiness); !found || diff != "" {
			t.Errorf("%s: found %t (-want +got):\n%s", template, found, diff)
		}
	}
}

func probeTemplateCases() []validationCase {
	const at = "spec.mutate.probes.catalog[0]"
	spec := func(probes string) string {
		return `{mutate: {probes: {catalog: [{images: [a.io/b], ` + probes + `}]}}}`
	}
	ready := func(template string) string { return spec(`readiness: {` + template + `}`) }
	const blanks = "; begin with / and use no blanks, at most 1024 characters"
	return []validationCase{
		{name: "probe, at its limits", spec: ready(`exec: {command: [a` + strings.Repeat(", b", 63) + `]}, initialDelaySeconds: 3600, periodSeconds: 3600, timeoutSeconds: 3600, successThreshold: 1000, failureThreshold: 10000`)},
		{name: "probe, zeros", spec: ready(`tcpSocket: {port: 1}, initialDelaySeconds: 0, periodSeconds: 0, timeoutSeconds: 0, successThreshold: 0, failureThreshold: 0`)},
		{
			name: "probe, no handler", spec: ready(`periodSeconds: 3`),
			want: []string{at + `.readiness: has 0 of exec, httpGet, tcpSocket and grpc; it has to have exactly one`},
		},
		{
			name: "probe, two handlers", spec: ready(`tcpSocket: {port: 1}, grpc: {port: 1}`),
			want: []string{at + `.readiness: has 2 of exec, httpGet, tcpSocket and grpc; it has to have exactly one`},
		},
		{
			name: "probe, timeout longer than its period", spec: ready(`tcpSocket: {port: 1}, timeoutSeconds: 11`),
			want: []string{at + `.readiness.timeoutSeconds: 11 is longer than periodSeconds, which is 10; set it to at most that`},
		},
		{
			name: "probe, out of range", spec: ready(`tcpSocket: {port: 0}, initialDelaySeconds: -1, periodSeconds: 3601, failureThreshold: 10001`),
			want: []string{
				at + `.readiness.initialDelaySeconds: -1 is out of range; use 0 to 3600, 0 for Kubernetes' default`,
				at + `.readiness.periodSeconds: 3601 is out of range; use 0 to 3600, 0 for Kubernetes' default`,
				at + `.readiness.failureThreshold: 10001 is out of range; use 0 to 10000, 0 for Kubernetes' default`,
				at + `.readiness.tcpSocket.port: 0 is not a port; use 1 to 65535`,
			},
		},
		{
			name: "probe, more ports", spec: spec(`readiness: {httpGet: {port: 65536}}, startup: {grpc: {port: -1}}`),
			want: []string{
				at + `.readiness.httpGet.port: 65536 is not a port; use 1 to 65535`,
				at + `.startup.grpc.port: -1 is not a port; use 1 to 65535`,
			},
		},
		{
			name: "probe, no command", spec: ready(`exec: {command: []}`),
			want: []string{at + `.readiness.exec.command: is empty; write the program and its arguments`},
		},
		{
			name: "probe, no program", spec: ready(`exec: {command: [""]}`),
			want: []string{at + `.readiness.exec.command: begins with an empty string; write the program first`},
		},
		{
			name: "probe, long command", spec: spec(`readiness: {exec: {command: [a, ` + strings.Repeat("b", 4097) + `]}}, startup: {exec: {command: [a` + strings.Repeat(", b", 64) + `]}}`),
			want: []string{
				at + `.readiness.exec.command[1]: "` + strings.Repeat("b", 80) + `..." is longer than 4096 bytes; put a script into the image`,
				at + `.startup.exec.command: has 65 entries; 64 is the limit`,
			},
		},
		{
			name: "probe, path, scheme and service", spec: spec(`readiness: {httpGet: {port: 1, path: "a b", scheme: http}}, startup: {grpc: {port: 1, service: "a b"}}`),
			want: []string{
				at + `.readiness.httpGet.path: "a b" is not a path` + blanks,
				at + `.readiness.httpGet.scheme: "http" is not a scheme; use HTTP or HTTPS`,
				at + `.startup.grpc.service: "a b" is not the name of a service; use no blanks, at most 253 characters`,
			},
		},
		{
			name: "probe, restarts need one success", spec: spec(`liveness: {tcpSocket: {port: 1}, successThreshold: 2}, startup: {tcpSocket: {port: 1}, successThreshold: 2}`),
			want: []string{
				at + `.liveness.successThreshold: 2 is more than 1, and a liveness probe succeeds at once; leave it out`,
				at + `.startup.successThreshold: 2 is more than 1, and a startup probe succeeds at once; leave it out`,
			},
		},
	}
}

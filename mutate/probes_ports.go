package mutate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// probePorts are the port names that say what for a port is, the most telling
// first. It is never changed.
//
// A port named grpc comes last: to ask its health service is the only probe here
// that a server can fail although it serves.
var probePorts = []string{"health", "healthz", "http", "https", "web", grpcPort}

const grpcPort = "grpc"

// mysqlPort must not be opened for nothing: MySQL and MariaDB count a connection
// without a login as an error of its host, and after 100 of them refuse that host,
// which for a probe is the node
// (https://dev.mysql.com/doc/refman/8.4/en/host-cache.html).
const mysqlPort = 3306

// fromPorts is a readiness probe by the ports that the container declares. What
// the manifest does not declare may not be there, whatever the image exposes.
//
// A connection is all that is asked: which path answers with which status is
// nowhere to be seen, and a GET of / that a server answers with 404 or 401 would
// keep it out of its Services for ever.
func (p prober) fromPorts() proposal {
	port, evidence := p.telling()
	if port == nil {
		return proposal{}
	}
	handler := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: portOf(port)}}
	if port.Name == grpcPort && p.settings.HealthService && p.settings.Uses(policies.ProbeFromNamedPort) {
		handler = corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port.ContainerPort, Service: new("")}}
	}
	return proposal{policies.ProbeSet{Readiness: timed(policies.Readiness, handler)}, evidence}
}

// telling is the port to ask, nil if there is none, and what speaks for it.
func (p prober) telling() (port *corev1.ContainerPort, evidence string) {
	ports := p.container.Ports
	if p.settings.Uses(policies.ProbeFromNamedPort) {
		for _, name := range probePorts {
			for i := range ports {
				if ports[i].Name == name && pod.IsTCP(&ports[i]) {
					return &ports[i], fmt.Sprintf("the port named %q", name)
				}
			}
		}
	}
	if !p.settings.Uses(policies.ProbeFromOnlyPort) {
		return nil, ""
	}
	for i := range ports {
		switch {
		case !pod.IsTCP(&ports[i]):
		case port != nil && port.ContainerPort != ports[i].ContainerPort:
			return nil, ""
		default:
			port = &ports[i]
		}
	}
	if port == nil || port.ContainerPort == mysqlPort {
		return nil, ""
	}
	return port, fmt.Sprintf("the only TCP port, %d", port.ContainerPort)
}

// portOf names a port by its name where it has one, so that the probe follows when
// the number is changed.
func portOf(p *corev1.ContainerPort) intstr.IntOrString {
	if p.Name != "" {
		return intstr.FromString(p.Name)
	}
	return intstr.FromInt32(p.ContainerPort)
}

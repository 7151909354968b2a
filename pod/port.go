package pod

import corev1 "k8s.io/api/core/v1"

// IsTCP reports whether a port of a container is one of TCP. That is the default,
// which the API server fills in and a file leaves out.
func IsTCP(p *corev1.ContainerPort) bool {
	return p.Protocol == "" || p.Protocol == corev1.ProtocolTCP
}

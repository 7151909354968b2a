package pod

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestIsTCP(t *testing.T) {
	for protocol, want := range map[corev1.Protocol]bool{"": true, corev1.ProtocolTCP: true, corev1.ProtocolUDP: false, corev1.ProtocolSCTP: false} {
		if got := IsTCP(&corev1.ContainerPort{Protocol: protocol}); got != want {
			t.Errorf("protocol %q: got %t, want %t", protocol, got, want)
		}
	}
}

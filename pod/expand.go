package pod

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Expands reports whether something of the container has $(name), for which the
// kubelet puts in the value of the container's variable of that name, and which it
// leaves as it is where there is no such variable: its command and args, the
// commands of its probes, and the subPathExpr of its mounts (expandContainerArgs and
// makeEnvironmentVariables in k8s.io/kubernetes/pkg/kubelet). A variable of env is
// not one of them: it sees only those before it, and none that is added at the end.
func (c Container) Expands(name string) bool {
	in := func(text string) bool { return expands(text, name) }
	if slices.ContainsFunc(c.Command, in) || slices.ContainsFunc(c.Args, in) {
		return true
	}
	for _, p := range [...]*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil && p.Exec != nil && slices.ContainsFunc(p.Exec.Command, in) {
			return true
		}
	}
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return in(m.SubPathExpr) })
}

// expands reads text as the kubelet does, from left to right, where $$ is an
// escaped $ (Expand in k8s.io/kubernetes/third_party/forked/golang/expansion).
func expands(text, name string) bool {
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return false
		}
		operator, rest := text[i+1], text[i+2:]
		if operator == '(' {
			if closing := strings.IndexByte(rest, ')'); closing >= 0 {
				if rest[:closing] == name {
					return true
				}
				rest = rest[closing+1:]
			}
		}
		text = rest
	}
}

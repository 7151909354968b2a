package reviews

import corev1 "k8s.io/api/core/v1"

// fault makes a pod that meets the restricted level violate one check of it.
type fault struct {
	check string // upstream's id
	apply func(*corev1.PodSpec)
}

// faults are one or two for each check that an object which the API server
// accepts can violate alone.
func faults() []fault {
	first := func(edit func(*corev1.Container)) func(*corev1.PodSpec) {
		return func(spec *corev1.PodSpec) { edit(&spec.Containers[0]) }
	}
	last := func(edit func(*corev1.Container)) func(*corev1.PodSpec) {
		return func(spec *corev1.PodSpec) { edit(&spec.Containers[len(spec.Containers)-1]) }
	}
	volume := func(source corev1.VolumeSource) func(*corev1.PodSpec) {
		return func(spec *corev1.PodSpec) {
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "data", VolumeSource: source})
		}
	}
	return []fault{
		{"allowPrivilegeEscalation", last(func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil })},
		{"allowPrivilegeEscalation", first(func(c *corev1.Container) { *c.SecurityContext.AllowPrivilegeEscalation = true })},
		{"appArmorProfile", first(func(c *corev1.Container) {
			c.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
		})},
		{"capabilities_restricted", first(func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"} })},
		{"capabilities_restricted", last(func(c *corev1.Container) { c.SecurityContext.Capabilities = nil })},
		{"hostNamespaces", func(spec *corev1.PodSpec) { spec.HostPID = true }},
		{"hostPorts", first(func(c *corev1.Container) { c.Ports[0].HostPort = 8080 })},
		{"hostProbesAndHostLifecycle", first(func(c *corev1.Container) { c.ReadinessProbe.HTTPGet.Host = "10.0.0.1" })},
		{"restrictedVolumes", volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: "/var/lib/data", Type: new(corev1.HostPathUnset),
		}})},
		{"restrictedVolumes", volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "nfs.internal", Path: "/exports"}})},
		{"runAsNonRoot", func(spec *corev1.PodSpec) { spec.SecurityContext.RunAsNonRoot = nil }},
		{"runAsUser", func(spec *corev1.PodSpec) { *spec.SecurityContext.RunAsUser = 0 }},
		{"seLinuxOptions", func(spec *corev1.PodSpec) {
			spec.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"}
		}},
		{"seccompProfile_restricted", func(spec *corev1.PodSpec) { spec.SecurityContext.SeccompProfile = nil }},
		{"sysctls", func(spec *corev1.PodSpec) {
			spec.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax", Value: "65536"}}
		}},
	}
}

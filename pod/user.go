package pod

import corev1 "k8s.io/api/core/v1"

// RunAsUser is the user that the manifest gives a container: the container's own,
// else the pod's; nil where the manifest leaves it to the image.
func (w *Workload) RunAsUser(c Container) *int64 {
	if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
		return c.SecurityContext.RunAsUser
	}
	if w.Spec.SecurityContext != nil {
		return w.Spec.SecurityContext.RunAsUser
	}
	return nil
}

// RunAsUserPath is the field that RunAsUser comes from, the container's own where
// there is none.
func (w *Workload) RunAsUserPath(c Container) Path {
	at := c.Path()
	if (c.SecurityContext == nil || c.SecurityContext.RunAsUser == nil) && w.RunAsUser(c) != nil {
		at = w.SpecPath()
	}
	return at.Child("securityContext").Child("runAsUser")
}

// RunAsNonRoot is whether the kubelet is to refuse a container that would run as
// root: as the container says, else the pod; nil where neither does.
func (w *Workload) RunAsNonRoot(c Container) *bool {
	if c.SecurityContext != nil && c.SecurityContext.RunAsNonRoot != nil {
		return c.SecurityContext.RunAsNonRoot
	}
	if w.Spec.SecurityContext != nil {
		return w.Spec.SecurityContext.RunAsNonRoot
	}
	return nil
}

// IsWindows reports whether spec.os says that the pod is for Windows.
func (w *Workload) IsWindows() bool {
	return w.Spec != nil && w.Spec.OS != nil && w.Spec.OS.Name == corev1.Windows
}
